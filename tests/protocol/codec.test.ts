import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Ref } from '../../protocol/address.ts'
import {
  decodePacket,
  decodeRecord,
  encodePacket,
  encodeRecord,
  measureBytes,
  ProtocolError,
} from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
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
    lane: fc.constantFrom('signal' as const, 'message' as const),
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
      { sequence: 5, acknowledged: 4 },
    )
    const text = (value: string): string => hexOf(Buffer.from(value))
    const header = [
      '94', // [sequence, acknowledged, addresses, envelopes]
      '05', // sequence
      '04', // acknowledged
      '92', // two addresses, each once
      `ad${text('shard-0/shard')}`,
      `a4${text('t/#2')}`, // with its incarnation
      '91', // one envelope
      '96', // [target, sender, lane, trace, slot, payload]
      '00', // target: address 0
      '01', // sender: address 1
      '01', // lane: 0 signal, 1 message
      `d937${text(TRACE)}`, // W3C traceparent; nil where there is none
      '03', // slot
      '82', // payload: a map of two
      `a4${text('type')}a4${text('pull')}`,
      `a4${text('have')}ff`, // -1
    ].join('')
    // version, header length (little-endian), header; no blobs, so no padding
    expect(hexOf(packet)).toBe(`01${'67000000'}${header}`)
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
    fc.assert(
      fc.property(fc.array(envelope, { maxLength: 6 }), fc.nat(), fc.nat(), (envelopes, s, a) => {
        const packet = encodePacket(envelopes, { sequence: s, acknowledged: a })
        expect(decodePacket(packet)).toEqual({ sequence: s, acknowledged: a, envelopes })
      }),
      seeded,
    )
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

  test('a good packet is decoded after a bad one', () => {
    const packet = encodePacket([])
    hostile(packet.slice(0, packet.byteLength - 1))
    expect(decodePacket(packet).envelopes).toEqual([])
  })
})

describe('what cannot travel is refused where it is sent', () => {
  const cases: [string, unknown][] = [
    ['a function', { run: () => 1 }],
    ['a typed array that is no Uint8Array', { values: new Float32Array(4) }],
    ['a map', new Map()],
    ['an error', { error: new Error('x') }],
    ['a bigint', 1n],
  ]
  for (const [name, value] of cases) {
    test(name, () => {
      expect(() => measureBytes(value)).toThrow(ProtocolError)
      expect(() => encodeRecord(value)).toThrow(ProtocolError)
    })
  }
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
