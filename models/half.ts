// IEEE 754 binary16 for whole vectors, by integer arithmetic on the bits: the same result on every
// engine, those without Float16Array included, and as fast as theirs.
import { assert } from '../protocol/assert.ts'

/** Rounds to nearest, ties to even; beyond 65504 becomes infinity; NaNs stay NaNs. */
export function encodeHalf(source: Float32Array, target: Uint16Array): void {
  assert(source.length === target.length, 'as many halves as floats')
  const words = new Uint32Array(source.buffer, source.byteOffset, source.length)
  for (let i = 0; i < words.length; i++) target[i] = halfOf(words[i]!)
}

/** Exact. */
export function decodeHalf(source: Uint16Array, target: Float32Array): void {
  assert(source.length === target.length, 'as many floats as halves')
  const words = new Uint32Array(target.buffer, target.byteOffset, target.length)
  for (let i = 0; i < words.length; i++) words[i] = floatWords[source[i]!]!
}

/** Bits of the half nearest to the float32 with these bits. */
function halfOf(word: number): number {
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fffffff
  if (magnitude >= SUBNORMAL_BELOW && magnitude < OVERFLOW_FROM) {
    // Move the exponent bias from 127 to 15; add just under half of the 13 bits to drop, and one more where
    // the last kept bit is odd. A carry runs into the exponent, as it should.
    return sign | ((magnitude - BIAS_CHANGE + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
  }
  if (magnitude > INFINITY_WORD) return sign | 0x7c00 | nanPayload(magnitude)
  return sign | (magnitude >= OVERFLOW_FROM ? 0x7c00 : subnormalHalf(magnitude))
}

const BIAS_CHANGE = (127 - 15) << 23
/** 2^-14, the least normal half, and 2^16, which no half holds. */
const SUBNORMAL_BELOW = (127 - 14) << 23
const OVERFLOW_FROM = (127 + 16) << 23
const INFINITY_WORD = 0x7f800000

/** A NaN keeps its upper payload bits, and at least one bit, without which it would be an infinity. */
function nanPayload(magnitude: number): number {
  return (magnitude >>> 13) & 0x3ff || 0x200
}

/** Multiples of 2^-24; less than half of that is 0. */
function subnormalHalf(magnitude: number): number {
  const exponent = magnitude >>> 23
  if (exponent < 127 - 25) return 0
  const significand = (magnitude & 0x7fffff) | 0x800000
  const dropped = 126 - exponent
  const justUnderHalf = (1 << (dropped - 1)) - 1
  return (significand + justUnderHalf + ((significand >>> dropped) & 1)) >>> dropped
}

const floatWords = makeFloatWords()

/** The float32 bits of each of the 65,536 halves. */
function makeFloatWords(): Uint32Array {
  const words = new Uint32Array(1 << 16)
  const floats = new Float32Array(words.buffer)
  for (let half = 0; half < words.length; half++) {
    const sign = (half & 0x8000) << 16
    const exponent = (half >>> 10) & 0x1f
    const fraction = half & 0x3ff
    if (exponent === 0) floats[half] = fraction * 2 ** -24
    else words[half] = ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13)
    words[half]! |= sign
  }
  return words
}
