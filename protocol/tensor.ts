// A tensor is a dtype, a shape and bytes: what travels in messages and lies in files. It is not an
// array library; hot loops work on the typed arrays that `float32View` and its kin return.
import { assert } from './assert.ts'

export const bytesPerElement = {
  float64: 8,
  int64: 8,
  float32: 4,
  int32: 4,
  float16: 2,
  int16: 2,
  int8: 1,
  uint8: 1,
  bool: 1,
} as const

export type DType = keyof typeof bytesPerElement

/** Row-major, little-endian. Once sent, a tensor is never written again by its sender. */
export interface Tensor {
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly bytes: Uint8Array
}

export function elementCount(shape: readonly number[]): number {
  let count = 1
  for (const extent of shape) count *= extent
  return count
}

export function byteSize(tensor: Pick<Tensor, 'dtype' | 'shape'>): number {
  return elementCount(tensor.shape) * bytesPerElement[tensor.dtype]
}

/** Wraps a typed array without copying it. */
export function tensorOf(values: Float32Array, shape: readonly number[] = [values.length]): Tensor {
  assert(values.length === elementCount(shape), 'values fill the shape')
  return { dtype: 'float32', shape, bytes: bytesOf(values) }
}

/** The bytes behind a typed array, without a copy. */
export function bytesOf(view: ArrayBufferView): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
}

/**
 * The elements of a float32 tensor. Zero-copy where its bytes are 4-byte aligned, one copy where
 * they are not (MessagePack places binary data at any offset).
 */
export function float32View(tensor: Tensor): Float32Array {
  assert(tensor.dtype === 'float32', `a float32 tensor, not ${tensor.dtype}`)
  assert(tensor.bytes.byteLength === byteSize(tensor), 'tensor bytes match its shape')
  return alignedFloat32(tensor.bytes)
}

/** Bytes as float32 values: a view where alignment allows it, else a copy. */
export function alignedFloat32(bytes: Uint8Array): Float32Array {
  if (bytes.byteOffset % 4 === 0) {
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
  }
  const copy = bytes.slice()
  return new Float32Array(copy.buffer, 0, copy.byteLength / 4)
}
