import { describe, expect, test } from 'bun:test'
import { Decoder } from '@msgpack/msgpack'
import fc from 'fast-check'
import type { Ref } from '../../protocol/address.ts'
import {
  type Batch,
  decodePacket,
  decodeRecord,
  encodePacket,
  encodeParts,
  encodePieces,
  encodeRecord,
  ProtocolError,
  START,
} from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import { limits } from '../../protocol/limits.ts'
import { measureBytes } from '../../protocol/measure.ts'
import { join, pieceOf } from '../../protocol/parts.ts'
import { Reader } from '../../protocol/reader.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const seeded = { seed: 20_250_101, numRuns: 300 }

function hostile(bytes: Uint8Array): void {
  try {
    decodePacket(bytes)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
  }
}

const plainValue = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.constant(null),
    fc.boolean(),
    fc.integer(),
    fc.double({ noNaN: true }).map((value) => (value === 0 ? 0 : value)),
    fc.string({ unit: 'grapheme' }),
    fc.uint8Array({ maxLength: 1_200 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(
      fc.string({ maxLength: 8 }).filter((key) => key !== '__proto__'),
      tie('value'),
      {
        maxKeys: 5,
        noNullPrototype: true,
      },
    ),
  ),
})).value

/** The example of W3C Trace Context. */
const TRACE = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'

const envelope = fc.record(
  {
    target: fc.constantFrom(
      { member: 'shard-0', path: '/shard' },
      { member: 'a', path: '/run/x', incarnation: 7 },
    ),
    sender: fc.constant({ member: 'b', path: '/' }),
    lane: fc.constant('message' as const),
    trace: fc.constant(TRACE),
    slot: fc.nat(),
    payload: plainValue,
  },
  { requiredKeys: ['target', 'lane', 'payload'] },
) as fc.Arbitrary<Envelope>

describe('the format', () => {
  test('a small packet is these bytes', () => {
    const packet = encodePacket(
      [
        {
          target: { member: 'shard-0', path: '/shard' },
          sender: { member: 't', path: '/', incarnation: 2 },
          lane: 'message',
          trace: TRACE,
          slot: 3,
          payload: { type: 'pull', have: -1 },
        },
      ],
      {
        stream: 'messages',
        sequence: 5,
        acknowledged: { signals: 2, messages: 4, bulk: 1, offset: 200 },
      },
    )
    const text = (value: string): string => hexOf(Buffer.from(value))
    const header = [
      '99', // [stream, sequence, signals, messages, bulk, offset, addresses, fields, payloads]
      '01', // stream: 0 signals, 1 messages, 2 bulk
      '05', // sequence
      '02', // signals that have arrived
      '04', // messages that have arrived
      '01', // bulk packets that have arrived
      'cd00c8', // and 200 bytes of the next one
      '93', // two addresses and a trace, each once
      `ad${text('shard-0/shard')}`,
      `a4${text('t/#2')}`, // with its incarnation
      `db00000037${text(TRACE)}`, // W3C traceparent
      '94', // four fields of one envelope
      '00', // target: address 0
      '01', // sender: address 1
      '02', // trace: text 2
      '03', // slot
      '91', // one payload
      '82', // a map of two
      `a4${text('type')}a4${text('pull')}`,
      `a4${text('have')}ff`, // -1
    ].join('')
    // version, header length (little-endian), header; no blobs, so no padding
    expect(hexOf(packet)).toBe(`01${'70000000'}${header}`)
  })

  test('an announcement of pieces is these bytes', () => {
    const announcement = encodePieces({
      sequence: 7,
      acknowledged: START,
      at: 100,
      bytes: 1_000,
      total: 70_000,
    })
    const header = [
      '99', // [3, sequence, signals, messages, bulk, offset, at, bytes, total]
      '03', // pieces of a bulk packet
      '07', // sequence
      '00000000', // nothing has arrived
      '64', // from byte 100 on
      'cd03e8', // 1,000 bytes come next, as they are
      'ce00011170', // of a packet of 70,000
    ].join('')
    expect(hexOf(announcement)).toBe(`01${'10000000'}${header}`)
    expect(decodePacket(announcement)).toEqual({
      type: 'pieces',
      sequence: 7,
      acknowledged: START,
      at: 100,
      bytes: 1_000,
      total: 70_000,
    })
  })

  test('bytes of 512 lie beside the header, aligned, after zeros', () => {
    const blob = new Uint8Array(512).fill(0xab)
    const record = encodeRecord([1, blob])
    const expected = [
      '01', // version
      '08000000', // header length
      '92', // a list of two
      '01', // 1
      'd601', // an extension of four bytes, type 1: a blob
      '00020000', // its length, little-endian
    ].join('')
    expect(hexOf(record.subarray(0, 13))).toBe(expected)
    expect(hexOf(record.subarray(13, 16))).toBe('000000')
    expect(record.byteLength).toBe(16 + 512)
    expect(record.subarray(16)).toEqual(blob)
  })

  test('511 bytes lie in the header', () => {
    expect(encodeRecord(new Uint8Array(511)).byteLength).toBe(5 + 3 + 511)
  })
})

describe('round trips', () => {
  test('what is encoded is decoded', () => {
    const position = fc.record({
      signals: fc.maxSafeNat(),
      messages: fc.maxSafeNat(),
      bulk: fc.maxSafeNat(),
      offset: fc.maxSafeNat(),
    })
    const envelopes = fc.array(envelope, { maxLength: 20 })
    fc.assert(
      fc.property(envelopes, fc.maxSafeNat(), position, (sent, sequence, acknowledged) => {
        const place = { stream: 'messages', sequence, acknowledged } as const
        const packet = encodePacket(sent, place)
        expect(decodePacket(packet)).toEqual({ type: 'batch', ...place, envelopes: sent })
      }),
      seeded,
    )
  })

  test('pieces of any size, one after the other, are the packet', () => {
    const blob = fc.nat({ max: 40_000 }).map((length) => new Uint8Array(length).fill(length))
    const payload = fc.array(fc.oneof(blob, fc.integer()), { maxLength: 8 })
    fc.assert(
      fc.property(payload, fc.integer({ min: 1, max: 50_000 }), (value, bytesMax) => {
        const target = { member: 'a', path: '/b' }
        const parts = encodeParts([{ target, lane: 'message', payload: value }])
        const pieces: Uint8Array[] = []
        for (let at = 0; at < parts.byteLength; ) {
          const piece = pieceOf(parts, at, bytesMax)
          expect(piece.byteLength).toBeGreaterThan(0)
          expect(piece.byteLength).toBeLessThanOrEqual(bytesMax)
          pieces.push(piece)
          at += piece.byteLength
        }
        expect(Buffer.compare(Buffer.concat(pieces), join(parts))).toBe(0)
      }),
      { ...seeded, numRuns: 60 },
    )
  })

  test('pieces of a tensor are views of it; shared memory is copied, because sockets refuse it', () => {
    const target = { member: 'a', path: '/b' }
    const pieceFrom = (bytes: Uint8Array): Uint8Array => {
      const envelopes = [{ target, lane: 'message', payload: { bytes } }] as const
      return pieceOf(encodeParts(envelopes), 50_000, 48_000)
    }
    const own = new Uint8Array(200_000).fill(7)
    expect(pieceFrom(own).buffer).toBe(own.buffer)
    const shared = new Uint8Array(new SharedArrayBuffer(200_000)).fill(7)
    expect(pieceFrom(shared).buffer).toBeInstanceOf(ArrayBuffer)
    expect(pieceFrom(shared)).toEqual(pieceFrom(own))
  })

  test('a small value of bytes does not keep its packet', () => {
    const decoded = decodeRecord(encodeRecord([new Uint8Array(64), 'x'.repeat(9_000)])) as [
      Uint8Array,
    ]
    expect(decoded[0].buffer.byteLength).toBe(64)
  })

  test('text arrives as it was, whatever its length and letters', () => {
    const text = fc.string({ unit: 'binary', maxLength: 80 })
    fc.assert(
      fc.property(text, (value) => {
        expect(decodeRecord(encodeRecord({ [`k${value}`]: value }))).toEqual({
          [`k${value}`]: value,
        })
      }),
      seeded,
    )
    const mark = '\ufeffmarked'
    expect(decodeRecord(encodeRecord([mark, mark.repeat(9)]))).toEqual([mark, mark.repeat(9)])
    // Half a pair is no text: what arrives is something, and the link lives.
    expect(typeof decodeRecord(encodeRecord('\ud800'))).toBe('string')
  })

  test('a record is read at any offset', () => {
    fc.assert(
      fc.property(plainValue, fc.nat({ max: 9 }), (value, offset) => {
        const record = encodeRecord(value)
        const shifted = new Uint8Array(record.byteLength + offset)
        shifted.set(record, offset)
        expect(decodeRecord(shifted.subarray(offset))).toEqual(value as never)
      }),
      seeded,
    )
  })

  test('tensors arrive aligned, and where they landed', () => {
    const values = Float32Array.from({ length: 1_000 }, (_, i) => i / 3)
    const payload = { name: 'odd', tensor: tensorOf(values), flag: true, more: tensorOf(values) }
    const packet = encodeRecord(payload)
    const decoded = decodeRecord(packet) as typeof payload
    for (const { bytes } of [decoded.tensor, decoded.more]) {
      expect(bytes.byteOffset % 8).toBe(0)
      expect(bytes.buffer).toBe(packet.buffer)
    }
    expect(float32View(decoded.tensor)).toEqual(values)
    const shifted = new Uint8Array(packet.byteLength + 3)
    shifted.set(packet, 3)
    const moved = decodeRecord(shifted.subarray(3)) as typeof payload
    expect(moved.tensor.bytes.byteOffset % 8).toBe(0)
    expect(float32View(moved.tensor)).toEqual(values)
  })

  test('a ref travels as an address', () => {
    const address = { member: 'a', path: '/x', incarnation: 3 }
    const ref: Ref<never> = { address, tell: () => 'accepted' }
    expect(decodeRecord(encodeRecord({ ref }))).toEqual({ ref: address })
    expect(decodeRecord(encodeRecord({ ref }), () => ref)).toEqual({ ref })
  })

  test('a field that is undefined is a field that is absent', () => {
    expect(decodeRecord(encodeRecord({ a: undefined, b: 1 }))).toEqual({ b: 1 })
  })

  test('an address that many envelopes name is written once', () => {
    const target = { member: 'a-rather-long-member-name', path: '/and/its/path' }
    const one = { target, lane: 'message', payload: null } as const
    const growth = encodePacket([one, one]).byteLength - encodePacket([one]).byteLength
    expect(growth).toBeLessThan(10)
    const many = Array.from({ length: 40 }, (_, i) => ({
      ...one,
      target: { ...target, path: `/${i}` },
    }))
    expect((decodePacket(encodePacket([...many, ...many])) as Batch).envelopes).toEqual([
      ...many.map((envelope) => ({ ...envelope, lane: 'signal' as const })),
      ...many.map((envelope) => ({ ...envelope, lane: 'signal' as const })),
    ])
  })
})

describe('hostile bytes', () => {
  test('random bytes are a ProtocolError', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), hostile), {
      ...seeded,
      numRuns: 2_000,
    })
  })

  test('random headers are a ProtocolError', () => {
    const framed = fc.uint8Array({ maxLength: 100 }).map((header) => {
      const packet = new Uint8Array(5 + header.length)
      packet[0] = 1
      new DataView(packet.buffer).setUint32(1, header.length, true)
      packet.set(header, 5)
      return packet
    })
    fc.assert(fc.property(framed, hostile), { ...seeded, numRuns: 3_000 })
  })

  test('a packet with any byte changed decodes or is a ProtocolError', () => {
    const blob = new Uint8Array(520).fill(1)
    const target = { member: 'a', path: '/b' }
    const packet = encodePacket([
      { target, lane: 'message', payload: { blob, list: [1, 'two', { three: 3 }] } },
    ])
    for (let at = 0; at < packet.byteLength; at++) {
      for (const value of [0x00, 0x7f, 0x81, 0xc1, 0xdd, 0xdf, 0xff]) {
        const changed = packet.slice()
        changed[at] = value
        hostile(changed)
      }
    }
    for (let length = 0; length < packet.byteLength; length++) {
      expect(() => decodePacket(packet.slice(0, length))).toThrow(ProtocolError)
    }
  })

  test('trailing bytes are refused', () => {
    for (const record of [encodeRecord(1), encodeRecord(new Uint8Array(600))]) {
      const longer = new Uint8Array(record.byteLength + 1)
      longer.set(record)
      expect(() => decodeRecord(longer)).toThrow(/trailing/)
    }
  })

  test('padding that is not zero is refused', () => {
    const record = encodeRecord([1, new Uint8Array(600)])
    record[14] = 1
    expect(() => decodeRecord(record)).toThrow(/padding/)
  })

  test('another version is refused by number', () => {
    const packet = encodePacket([])
    packet[0] = 9
    expect(() => decodePacket(packet)).toThrow(/version 9/)
  })

  test('a claim of four thousand million elements costs nothing', () => {
    const claims = Uint8Array.from([1, 5, 0, 0, 0, 0xdd, 0xff, 0xff, 0xff, 0xff])
    expect(() => decodeRecord(claims)).toThrow(/claimed/)
    const nested = new Uint8Array(5 + 5_000).fill(0x91)
    nested.set([1, 0x88, 0x13, 0, 0])
    expect(() => decodeRecord(nested)).toThrow(ProtocolError)
  })

  test('nesting has a limit in both directions', () => {
    let deep: unknown = 0
    for (let i = 0; i < 100; i++) deep = [deep]
    expect(() => encodeRecord(deep)).toThrow(ProtocolError)
    expect(() => measureBytes(deep)).toThrow(/deeper/)
  })

  test('a nest of claims costs no more than its bytes', () => {
    // Each list claims as many elements as bytes are left, and begins with another such list.
    const nested = new Uint8Array(5 + 60 * 5 + 100_000)
    const view = new DataView(nested.buffer)
    nested[0] = 1
    view.setUint32(1, nested.byteLength - 5, true)
    for (let depth = 0; depth < 60; depth++) {
      nested[5 + 5 * depth] = 0xdd
      view.setUint32(6 + 5 * depth, nested.byteLength - 10 - 5 * depth)
    }
    expect(() => decodeRecord(nested)).toThrow(ProtocolError)
  })

  test('the reader reads what the library reads, and refuses what it refuses', () => {
    class Plain extends Reader {
      constructor(bytes: Uint8Array) {
        super(bytes, 0, bytes.byteLength, limits)
      }
      protected override extension(): unknown {
        throw new ProtocolError('no extensions here')
      }
    }
    const read = (run: () => unknown): unknown => {
      try {
        return { value: run() }
      } catch {
        return 'refused'
      }
    }
    const library = new Decoder({ maxBinLength: limits.blobBytesMin - 1, maxExtLength: 0 })
    const compare = (bytes: Uint8Array): void => {
      const mine = read(() => {
        const reader = new Plain(bytes)
        const value = reader.value()
        reader.finish()
        return value
      })
      const theirs = read(() => library.decode(bytes))
      // The library takes numbers for keys and bytes that are no UTF-8 for text.
      if (mine !== 'refused' && !JSON.stringify(mine)?.includes('\ufffd'))
        expect(mine).toEqual(theirs)
      if (theirs === 'refused') expect(mine).toBe('refused')
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), compare), { ...seeded, numRuns: 5_000 })
    const record = plainValue.map((value) => encodeRecord(value))
    const header = record.map((bytes) =>
      bytes.slice(5, 5 + new DataView(bytes.buffer).getUint32(1, true)),
    )
    fc.assert(fc.property(header, compare), seeded)
    for (const value of [
      0,
      -1,
      -33,
      200,
      70_000,
      2 ** 32,
      -(2 ** 31) - 1,
      2 ** 53 - 1,
      -(2 ** 52),
      0.5,
    ]) {
      expect(decodeRecord(encodeRecord(value))).toBe(value)
    }
  })

  test('a good packet is decoded after a bad one', () => {
    const packet = encodePacket([])
    hostile(packet.slice(0, packet.byteLength - 1))
    expect((decodePacket(packet) as Batch).envelopes).toEqual([])
  })
})

describe('what cannot travel is refused where it is sent', () => {
  const cases: [string, unknown][] = [
    ['a function', { run: () => 1 }],
    ['a typed array that is no Uint8Array', { values: new Float32Array(4) }],
    ['a map', new Map()],
    ['an error', { error: new Error('x') }],
    ['a bigint', 1n],
    ['text above its limit', 'x'.repeat(limits.stringBytesMax + 1)],
    ['text above its limit in UTF-8', 'ä'.repeat(limits.stringBytesMax / 2 + 1)],
    ['a key __proto__', JSON.parse('{"__proto__": 1}')],
    ['more values than a header holds', new Array(limits.elementsMax).fill(0)],
    ['more blobs than a packet holds', new Array(limits.blobsMax + 1).fill(new Uint8Array(512))],
    ['a header above its limit', new Array(100_000).fill('x'.repeat(100))],
    ['a ref to nowhere', { tell() {}, address: { member: 'a', path: `/${'x'.repeat(4_096)}` } }],
  ]
  for (const [name, value] of cases) {
    test(name, () => {
      expect(() => measureBytes(value)).toThrow(ProtocolError)
    })
  }

  test('a record refuses what is no plain data, too', () => {
    for (const value of [{ run: () => 1 }, new Float32Array(4), new Map(), 1n]) {
      expect(() => encodeRecord(value)).toThrow(ProtocolError)
    }
  })
})

test('the estimate of a payload covers its blobs and is close for small messages', () => {
  expect(measureBytes({ blob: new Uint8Array(10_000) })).toBeGreaterThan(10_000)
  fc.assert(
    fc.property(plainValue, (value) => {
      const record = encodeRecord(value).byteLength
      expect(measureBytes(value) * 4 + 16).toBeGreaterThan(record)
    }),
    seeded,
  )
})
