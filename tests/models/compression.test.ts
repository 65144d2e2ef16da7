// Gradient codecs: exact halves, bounded errors, and error feedback that loses nothing over time.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  BLOCK_ELEMENTS,
  decodeGradient,
  type EncodedGradient,
  encodeGradient,
  GradientError,
  gradientCodecs,
} from '../../models/compression.ts'
import { decodeHalf, encodeHalf } from '../../models/half.ts'
import { randomFor } from '../../protocol/random.ts'
import { byteSize, bytesOf } from '../../protocol/tensor.ts'

const FLOAT32_MAX = (2 - 2 ** -23) * 2 ** 127
const lossy = ['float16', 'int8'] as const
const finite = fc.float({ noNaN: true, noDefaultInfinity: true })

describe('half', () => {
  const halves = Uint16Array.from({ length: 1 << 16 }, (_, half) => half)
  const floats = new Float32Array(halves.length)
  decodeHalf(halves, floats)

  test('all 65,536 halves decode to the value of their definition', () => {
    for (const half of halves) expectSame(floats[half]!, definitionOfHalf(half))
  })

  test('all 65,536 halves, NaNs included, come back as they were', () => {
    const back = new Uint16Array(halves.length)
    encodeHalf(floats, back)
    expect(back).toEqual(halves)
  })

  test('between neighbours the nearest half is taken, and the even one at a tie', () => {
    // Midpoints of neighbours are exact in float32; so are the floats just beside them.
    const words = new Uint32Array(1)
    const near = new Float32Array(words.buffer)
    const encode = (value: number, ulps: number): number => {
      near[0] = value
      words[0]! += ulps
      const half = new Uint16Array(1)
      encodeHalf(near, half)
      return half[0]!
    }
    for (const sign of [0, 0x8000]) {
      for (let half = 0; half < 0x7bff; half++) {
        const middle = (definitionOfHalf(sign | half) + definitionOfHalf(sign | (half + 1))) / 2
        const isRight =
          encode(middle, 0) === (sign | (half + (half & 1))) &&
          encode(middle, -1) === (sign | half) &&
          encode(middle, 1) === (sign | (half + 1))
        if (!isRight) throw new Error(`wrong beside half ${half}`)
      }
    }
  })

  test('what no half can hold becomes infinity, and a NaN never does', () => {
    const half = new Uint16Array(6)
    const source = Float32Array.of(65519.996, 65520, -65536, 3e38, -Infinity, Number.NaN)
    encodeHalf(source, half)
    expect([...half.subarray(0, 5)]).toEqual([0x7bff, 0x7c00, 0xfc00, 0x7c00, 0xfc00])
    const words = Uint32Array.of(0x7f800001)
    encodeHalf(new Float32Array(words.buffer), half.subarray(5))
    expect(half[5]! & 0x7c00).toBe(0x7c00)
    expect(half[5]! & 0x3ff).not.toBe(0)
  })

  test('any float32 rounds as Math.f16round does', () => {
    const { f16round } = Math as { f16round?: (value: number) => number }
    if (!f16round) return
    const random = randomFor('half')
    const words = Uint32Array.from({ length: 200_000 }, () => random.below(2 ** 32))
    const source = new Float32Array(words.buffer)
    const [half, back] = [new Uint16Array(source.length), new Float32Array(source.length)]
    encodeHalf(source, half)
    decodeHalf(half, back)
    for (const [index, value] of back.entries()) expectSame(value, f16round(source[index]!))
  })
})

test('float32 arrives to the bit, as a copy that the sender may write over', () => {
  const gradient = Float32Array.of(1, -0, 1e-45, Infinity, 3.4e38)
  const encoded = encodeGradient('float32', gradient)
  const before = gradient.slice()
  gradient.fill(7)
  const decoded = decodeGradient(encoded)
  expect(bytesOf(decoded)).toEqual(bytesOf(before))
  decoded.fill(9)
  expect(bytesOf(decodeGradient(encoded))).toEqual(bytesOf(before))
})

test('int8 is off by at most max|p| / 254 of its block, and leaves exactly that in the residual', () => {
  fc.assert(
    fc.property(gradients(), (gradient) => {
      const residual = new Float32Array(gradient.length)
      const decoded = decodeGradient(encodeGradient('int8', gradient, residual))
      for (let start = 0; start < gradient.length; start += BLOCK_ELEMENTS) {
        const block = gradient.subarray(start, start + BLOCK_ELEMENTS)
        const largest = block.reduce((most, value) => Math.max(most, Math.abs(value)), 0)
        // float32 rounding of the scale on top; below the normal range the block waits whole.
        const bound = largest < 127 * 2 ** -126 ? largest : (largest / 254) * (1 + 1e-4)
        block.forEach((value, i) => {
          const error = value - decoded[start + i]!
          expect(Math.abs(error)).toBeLessThanOrEqual(bound)
          expect(Math.abs(error - residual[start + i]!)).toBeLessThanOrEqual(1e-6 * largest)
        })
      }
    }),
    { seed: 11, numRuns: 60 },
  )
})

test('float16 is off by at most 2^-11 of a value, or clips it, and keeps what rounding took', () => {
  fc.assert(
    fc.property(gradients(), (gradient) => {
      const residual = new Float32Array(gradient.length)
      const decoded = decodeGradient(encodeGradient('float16', gradient, residual))
      gradient.forEach((value, i) => {
        const held = Math.max(-65504, Math.min(65504, value))
        const error = Math.abs(held - decoded[i]!)
        expect(error).toBeLessThanOrEqual(Math.max(Math.abs(held) * 2 ** -11, 2 ** -25))
        expect(residual[i]! - Math.fround(held - decoded[i]!) === 0).toBe(true)
      })
    }),
    { seed: 12, numRuns: 60 },
  )
})

for (const codec of lossy) {
  test(`${codec}: with error feedback the sum of decoded gradients follows the sum of originals`, () => {
    const count = 600
    const random = randomFor('feedback', codec)
    // Coordinates 10,000 times smaller than the largest of their block vanish without feedback.
    const sizes = Float32Array.from({ length: count }, () => 10 ** (-4 * random.next()))
    const residual = new Float32Array(count)
    const [sent, received, careless] = [0, 1, 2].map(() => new Float64Array(count)) as [
      Float64Array,
      Float64Array,
      Float64Array,
    ]
    const errorAfter: number[] = []
    for (let push = 1; push <= 400; push++) {
      const gradient = sizes.map((size) => size * (1 + 0.1 * random.normal()))
      accumulate(sent, gradient)
      accumulate(received, decodeGradient(encodeGradient(codec, gradient, residual)))
      accumulate(careless, decodeGradient(encodeGradient(codec, gradient)))
      if (push === 20 || push === 400) errorAfter.push(largestDifference(sent, received))
    }
    const [early, late] = errorAfter as [number, number]
    expect(late).toBeLessThan(Math.max(2 * early, 1e-3)) // Bounded, so the relative error falls to 0.
    const bound = codec === 'int8' ? 0.02 : 0.002
    expect(late).toBeLessThan(bound)
    expect(largestDifference(sent, careless)).toBeGreaterThan(10 * late)
  })

  test(`${codec}: what was sent plus the residual is all there was, within the codec's range`, () => {
    const held = codec === 'float16' ? gradients(40, 8_000) : gradients(40)
    fc.assert(
      fc.property(fc.array(held, { minLength: 1, maxLength: 6 }), (sequence) => {
        const count = Math.min(...sequence.map(({ length }) => length))
        const residual = new Float32Array(count)
        const [sent, received] = [new Float64Array(count), new Float64Array(count)]
        let largest = 0
        for (const whole of sequence) {
          const gradient = whole.subarray(0, count)
          accumulate(sent, gradient)
          accumulate(received, decodeGradient(encodeGradient(codec, gradient, residual)))
          for (const value of gradient) largest = Math.max(largest, Math.abs(value))
        }
        accumulate(received, residual)
        expect(largestDifference(sent, received)).toBeLessThanOrEqual(1e-5 * largest)
      }),
      { seed: 13, numRuns: 60 },
    )
  })

  test(`${codec}: after a spike the next pushes are what they would have been`, () => {
    for (const spike of [1e8, -1e8, FLOAT32_MAX, -FLOAT32_MAX]) {
      const residual = new Float32Array(1)
      const push = (value: number): number =>
        decodeGradient(encodeGradient(codec, Float32Array.of(value), residual))[0]!
      expect(Math.sign(push(spike))).toBe(Math.sign(spike))
      // float16 clips to a half and leaves nothing; int8 leaves at most a 254th from push to push.
      let pushes = 0
      while (Math.abs(push(0.001)) > 0.002) pushes += 1
      expect(pushes).toBeLessThanOrEqual(codec === 'float16' ? 0 : 20)
      const mean = Array.from({ length: 50 }, () => push(0.001)).reduce((a, b) => a + b) / 50
      expect(mean).toBeCloseTo(0.001, 4)
    }
  })

  test(`${codec}: sums beyond float32 are clipped, and neither residual nor push is infinite`, () => {
    for (const largest of [FLOAT32_MAX, -FLOAT32_MAX]) {
      const residual = new Float32Array(300)
      for (let push = 0; push < 20; push++) {
        const gradient = new Float32Array(300).fill(largest)
        gradient[push] = 1e30
        const decoded = decodeGradient(encodeGradient(codec, gradient, residual))
        expect(decoded.every(Number.isFinite)).toBe(true)
        expect(residual.every(Number.isFinite)).toBe(true)
      }
    }
  })

  test(`${codec} refuses a gradient that is not finite and leaves the residual as it was`, () => {
    for (const bad of [Number.NaN, Infinity, -Infinity]) {
      const gradient = new Float32Array(300).fill(1)
      gradient[299] = bad
      const residual = new Float32Array(300).fill(0.25)
      expect(() => encodeGradient(codec, gradient, residual)).toThrow(GradientError)
      expect(residual).toEqual(new Float32Array(300).fill(0.25))
    }
  })
}

test('the encoded tensors have the size that their codec promises', () => {
  const gradient = new Float32Array(1000).fill(0.5)
  const bytes = gradientCodecs.map((codec) => {
    const { values, scales } = encodeGradient(codec, gradient)
    expect(values.bytes.byteLength).toBe(byteSize(values))
    return values.bytes.byteLength + (scales?.bytes.byteLength ?? 0)
  })
  expect(bytes).toEqual([4000, 2000, 1000 + 4 * 4])
})

test('every codec decodes what arrived at an odd offset, into a buffer that is used again', () => {
  const random = randomFor('offset')
  const gradient = Float32Array.from({ length: 515 }, random.normal)
  const target = new Float32Array(515)
  for (const codec of gradientCodecs) {
    const encoded = encodeGradient(codec, gradient)
    const moved: EncodedGradient = {
      ...encoded,
      values: { ...encoded.values, bytes: shifted(encoded.values.bytes) },
      ...(encoded.scales && {
        scales: { ...encoded.scales, bytes: shifted(encoded.scales.bytes) },
      }),
    }
    expect(decodeGradient(moved, target)).toBe(target)
    expect(bytesOf(target)).toEqual(bytesOf(decodeGradient(encoded)))
  }
})

test('an empty gradient passes through every codec', () => {
  for (const codec of gradientCodecs) {
    expect(decodeGradient(encodeGradient(codec, new Float32Array(0)))).toEqual(new Float32Array(0))
  }
})

test('a gradient that does not fit its codec or its range is refused by name', () => {
  const int8 = encodeGradient('int8', new Float32Array(300).fill(1))
  const { scales: _scales, ...bare } = int8
  const target = new Float32Array(299)
  expect(() => decodeGradient(int8, target)).toThrow('int8 gradient: int8 [300]')
  expect(() => decodeGradient({ ...int8, codec: 'float16' })).toThrow('send float16 [300]')
  expect(() => decodeGradient(bare)).toThrow('has no scales')
  const short = { ...int8, scales: encodeGradient('float32', new Float32Array(1)).values }
  expect(() => decodeGradient(short)).toThrow('scales of an int8 gradient: float32 [1]')
})

/** Some large ones among small ones. */
function gradients(maxLength = 600, most?: number): fc.Arbitrary<Float32Array<ArrayBuffer>> {
  const small = fc.float({ min: -2, max: 2, noNaN: true })
  // Sums of a few must stay finite in float32.
  const large = most
    ? fc.float({ min: -most, max: most, noNaN: true })
    : finite.map((value) => Math.fround(value / 64))
  return fc
    .array(fc.oneof({ weight: 8, arbitrary: small }, { weight: 1, arbitrary: large }), {
      minLength: 1,
      maxLength,
    })
    .map((values) => Float32Array.from(values))
}

/** IEEE 754, by its formula. */
function definitionOfHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1
  const exponent = (half >> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 31) return fraction ? Number.NaN : sign * Infinity
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

function expectSame(actual: number, expected: number): void {
  if (!Object.is(actual, expected)) throw new Error(`${actual} should be ${expected}`)
}

function accumulate(sum: Float64Array, values: Float32Array): void {
  for (const [i, value] of values.entries()) sum[i]! += value
}

function largestDifference(a: Float64Array, b: Float64Array): number {
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0)
}

function shifted(bytes: Uint8Array): Uint8Array {
  const room = new Uint8Array(bytes.byteLength + 1)
  room.set(bytes, 1)
  return room.subarray(1)
}
