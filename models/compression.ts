// Gradient codecs for pushes. The lossy ones feed their error back: what a push leaves out, the sender
// adds to its next one (Seide 2014; Karimireddy 2019). Parameters that are pulled travel unrounded.
import { assert, unreachable } from '../protocol/assert.ts'
import { alignedFloat32, byteSize, bytesOf, type Tensor, tensorOf } from '../protocol/tensor.ts'
import { decodeHalf, encodeHalf } from './half.ts'

export type GradientCodec = 'float32' | 'float16' | 'int8'
export const gradientCodecs = ['float32', 'float16', 'int8'] as const

/** A gradient as it travels; `scales`, one per block, belongs to int8. */
export interface EncodedGradient {
  readonly codec: GradientCodec
  readonly values: Tensor
  readonly scales?: Tensor
}

/** Elements that share one int8 scale. */
export const BLOCK_ELEMENTS = 256

export class GradientError extends Error {
  override readonly name = 'GradientError'
}

/**
 * Encodes a copy. `residual`, as long as the gradient and at first zero, is kept by the sender: its
 * error is added before encoding and replaced after. Lossy codecs refuse values that are not finite,
 * before they touch the residual, which would carry them into every later push. Finite sums beyond
 * what a codec holds are clipped, and what was cut off is gone: kept, one spike would fill the pushes
 * of thousands of steps.
 */
export function encodeGradient(
  codec: GradientCodec,
  gradient: Float32Array,
  residual: Float32Array = new Float32Array(codec === 'float32' ? 0 : gradient.length),
): EncodedGradient {
  if (codec === 'float32') return { codec, values: tensorOf(new Float32Array(gradient)) }
  assert(residual.length === gradient.length, 'a residual is as long as its gradient')
  if (!isAllFinite(gradient)) {
    throw new GradientError(`${codec} holds finite values only: reject this minibatch`)
  }
  switch (codec) {
    case 'float16':
      return { codec, values: takeHalf(residual, gradient) }
    case 'int8':
      return { codec, ...takeInt8(residual, gradient) }
    default:
      return unreachable(codec)
  }
}

/** The values, in `target` where there is one: never a view of the message. */
export function decodeGradient(
  encoded: EncodedGradient,
  target: Float32Array = new Float32Array(encoded.values.shape[0] ?? 0),
): Float32Array {
  const { codec, values, scales } = encoded
  checkTensor(values, { dtype: codec, count: target.length, what: `${codec} gradient` })
  switch (codec) {
    case 'float32':
      target.set(alignedFloat32(values.bytes))
      return target
    case 'float16':
      decodeHalf(alignedUint16(values.bytes), target)
      return target
    case 'int8': {
      if (!scales) throw new GradientError('int8 gradient: has no scales; send one per block')
      const count = Math.ceil(target.length / BLOCK_ELEMENTS)
      checkTensor(scales, { dtype: 'float32', count, what: 'scales of an int8 gradient' })
      const { buffer, byteOffset, byteLength } = values.bytes
      decodeInt8(
        new Int8Array(buffer, byteOffset, byteLength),
        alignedFloat32(scales.bytes),
        target,
      )
      return target
    }
    default:
      return unreachable(codec)
  }
}

/** Leaves in `residual` what rounding to float16 took. */
function takeHalf(residual: Float32Array, gradient: Float32Array): Tensor {
  const halves = new Uint16Array(residual.length)
  const rounded = new Float32Array(Math.min(STRIP_ELEMENTS, residual.length))
  for (let start = 0; start < halves.length; start += STRIP_ELEMENTS) {
    const end = Math.min(start + STRIP_ELEMENTS, halves.length)
    const pending = residual.subarray(start, end)
    const strip = halves.subarray(start, end)
    add(pending, gradient.subarray(start, end))
    clip(pending, HALF_MAX)
    encodeHalf(pending, strip)
    const held = rounded.subarray(0, strip.length)
    decodeHalf(strip, held)
    subtract(pending, held)
  }
  return { dtype: 'float16', shape: [halves.length], bytes: bytesOf(halves) }
}

/** Few enough that the passes over a strip find it in the cache. */
const STRIP_ELEMENTS = 4096
const HALF_MAX = 65504

/** Also brings an infinite sum of finite values back. */
function clip(values: Float32Array, limit: number): void {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (value > limit) values[i] = limit
    else if (value < -limit) values[i] = -limit
  }
}

/**
 * Per block: p = g + e, s = max|p| / 127, q = round(p / s), e = p - s q. Every element is then off by at
 * most max|p| / 254.
 */
function takeInt8(
  residual: Float32Array,
  gradient: Float32Array,
): { values: Tensor; scales: Tensor } {
  const quantised = new Int8Array(residual.length)
  const scales = new Float32Array(Math.ceil(residual.length / BLOCK_ELEMENTS))
  for (let block = 0; block < scales.length; block++) {
    const start = block * BLOCK_ELEMENTS
    const end = Math.min(start + BLOCK_ELEMENTS, residual.length)
    let largest = addBlock(residual, gradient, { start, end })
    if (largest > INT8_SUM_MAX) {
      clip(residual.subarray(start, end), INT8_SUM_MAX)
      largest = INT8_SUM_MAX
    }
    const scale = Math.fround(largest / 127)
    // Below float32's normal range a scale is too coarse to divide by: the block waits in the residual.
    if (scale < SMALLEST_NORMAL) continue
    scales[block] = scale
    quantiseBlock(residual, quantised, { start, end, scale })
  }
  return {
    values: { dtype: 'int8', shape: [residual.length], bytes: bytesOf(quantised) },
    scales: tensorOf(scales),
  }
}

const SMALLEST_NORMAL = 2 ** -126
/** Half of float32's range: neither the sum nor 127 rounded scales leave it. */
const INT8_SUM_MAX = 2 ** 127
/** Adding and subtracting 1.5 x 2^52 rounds a small float64 to an integer, ties to even, branch-free. */
const ROUNDER = 1.5 * 2 ** 52

function quantiseBlock(
  residual: Float32Array,
  quantised: Int8Array,
  { start, end, scale }: { start: number; end: number; scale: number },
): void {
  const inverse = 1 / scale
  for (let i = start; i < end; i++) {
    const p = residual[i]!
    const q = p * inverse + ROUNDER - ROUNDER
    quantised[i] = q
    residual[i] = p - scale * q
  }
}

function decodeInt8(quantised: Int8Array, scales: Float32Array, target: Float32Array): void {
  for (let block = 0; block < scales.length; block++) {
    const scale = scales[block]!
    const end = Math.min((block + 1) * BLOCK_ELEMENTS, target.length)
    for (let i = block * BLOCK_ELEMENTS; i < end; i++) target[i] = scale * quantised[i]!
  }
}

/** Adds the gradient to the residual and returns the largest magnitude of the sums. */
function addBlock(
  residual: Float32Array,
  gradient: Float32Array,
  { start, end }: { start: number; end: number },
): number {
  let largest = 0
  for (let i = start; i < end; i++) {
    const sum = Math.fround(residual[i]! + gradient[i]!)
    residual[i] = sum
    const magnitude = Math.abs(sum)
    // biome-ignore lint/complexity/useMathMinMax: more than twice as fast in Bun, and no NaN comes here
    largest = magnitude > largest ? magnitude : largest
  }
  return largest
}

/** x - x is 0 for finite values, else NaN, and NaN stays. */
function isAllFinite(values: Float32Array): boolean {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! - values[i]!
  return sum === 0
}

function add(target: Float32Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += values[i]!
}

function subtract(target: Float32Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i++) target[i]! -= values[i]!
}

function alignedUint16(bytes: Uint8Array): Uint16Array {
  const even = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice()
  return new Uint16Array(even.buffer, even.byteOffset, even.byteLength / 2)
}

function checkTensor(
  tensor: Tensor,
  expected: { dtype: Tensor['dtype']; count: number; what: string },
): void {
  const { dtype, count, what } = expected
  const isExpected =
    tensor.dtype === dtype &&
    tensor.shape.length === 1 &&
    tensor.shape[0] === count &&
    tensor.bytes.byteLength === byteSize(tensor)
  if (isExpected) return
  throw new GradientError(
    `${what}: ${tensor.dtype} [${tensor.shape}] in ${tensor.bytes.byteLength} bytes; send ${dtype} [${count}]`,
  )
}
