// Weights and images that tests/golden/image-networks.py makes by the same formula.
import { elementCount, type Tensor, tensorOf } from '../../../protocol/tensor.ts'

/** Between -0.5 and 0.5, of FNV-1a over the name and a mixing function over the index. */
export function uniform(name: string, count: number): Float64Array {
  let seed = 0x811c9dc5
  for (const byte of new TextEncoder().encode(name)) seed = Math.imul(seed ^ byte, 0x01000193)
  const values = new Float64Array(count)
  for (let index = 0; index < count; index++) {
    let h = (Math.imul(index, 0x9e3779b9) + seed) | 0
    h = Math.imul(h ^ (h >>> 16), 0x7feb352d)
    h = Math.imul(h ^ (h >>> 15), 0x846ca68b)
    values[index] = ((h ^ (h >>> 16)) >>> 0) / 4294967296 - 0.5
  }
  return values
}

export function filled(name: string, shape: readonly number[]): Tensor {
  const count = elementCount(shape)
  const scaleOfMatrix = name === 'images' ? 3 : Math.sqrt(24 / (count / (shape[0] ?? 1)))
  const [mean, scale] =
    shape.length > 1
      ? [0, scaleOfMatrix]
      : name.endsWith('running_var')
        ? [1, 0.5]
        : name.endsWith('bn.weight')
          ? [1, 0.2]
          : [0, 0.2]
  const values = new Float32Array(count)
  uniform(name, count).forEach((u, index) => {
    values[index] = mean + scale * u
  })
  return tensorOf(values, shape)
}

/** Largest difference, relative to the largest expected value. */
export function relativeError(got: ArrayLike<number>, expected: readonly number[]): number {
  const scale = Math.max(...expected.map(Math.abs))
  return Math.max(...expected.map((value, i) => Math.abs((got[i] ?? Number.NaN) - value))) / scale
}
