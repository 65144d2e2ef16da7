import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { FrameError, frameHead, frameReader, opcodes } from '../../runtime/transport/frames.ts'

const seeded = { seed: 20_250_102, numRuns: 200 }
const LIMIT = 1 << 20

/** What the accepting side sends: the same, but not masked. */
function sent(opcode: number, payload: Uint8Array): Uint8Array {
  const head = frameHead(opcode, payload.byteLength).slice(0, -4)
  head[1] = head[1]! & 0x7f
  return Uint8Array.from([...head, ...payload])
}

/** Hands the bytes over as the reader has room, at most `chunk` at a time. */
function read(bytes: Uint8Array, chunk: number) {
  const reader = frameReader(LIMIT)
  const frames = []
  for (let offset = 0; offset < bytes.byteLength; ) {
    const room = reader.room()
    const part = bytes.subarray(offset, offset + Math.min(chunk, room.byteLength))
    expect(part.byteLength).toBeGreaterThan(0)
    room.set(part)
    frames.push(...reader.filled(part.byteLength))
    offset += part.byteLength
  }
  return frames
}

describe('frames', () => {
  test('heads of each length are those of RFC 6455, masked with zeros', () => {
    const hex = (bytes: number): string =>
      Buffer.from(frameHead(opcodes.binary, bytes)).toString('hex')
    expect(hex(125)).toBe('82fd00000000')
    expect(hex(126)).toBe('82fe007e00000000')
    expect(hex(65_536)).toBe('82ff000000000001000000000000')
  })

  test('are read whole and in order, however their bytes are cut', () => {
    const payload = fc
      .oneof(fc.nat(300), fc.constantFrom(0, 125, 126, 65_535, 65_536, 65_530, 200_000))
      .map((bytes) => Uint8Array.from({ length: bytes }, (_, index) => index * 7 + bytes))
    const frame = fc.record({ opcode: fc.constantFrom(2, 8, 9, 10), payload })
    const chunk = fc.oneof(
      fc.integer({ min: 1, max: 20 }),
      fc.integer({ min: 1_000, max: 300_000 }),
    )
    fc.assert(
      fc.property(fc.array(frame, { minLength: 1, maxLength: 6 }), chunk, (frames, size) => {
        const bytes = Buffer.concat(frames.map(({ opcode, payload }) => sent(opcode, payload)))
        const got = read(bytes, size)
        expect(got.map(({ opcode }) => opcode)).toEqual(frames.map(({ opcode }) => opcode))
        got.forEach((each, index) => {
          expect(Buffer.compare(each.payload, frames[index]!.payload)).toBe(0)
          expect(each.payload.byteOffset).toBe(0)
        })
      }),
      seeded,
    )
  })

  test.each([
    ['a piece of a message', Uint8Array.of(0x02, 0x01, 0)],
    ['a reserved bit', Uint8Array.of(0xc2, 0x01, 0)],
    ['a masked frame', Uint8Array.of(0x82, 0x81, 0, 0, 0, 0, 0)],
    ['more than is allowed', Uint8Array.of(0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1)],
    ['2^63 bytes', Uint8Array.of(0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  ])('%s is refused before its payload is awaited', (_, bytes) => {
    expect(() => read(bytes, 1)).toThrow(FrameError)
  })
})
