// The fast transform equals the sum that defines it.
import { expect, test } from 'bun:test'
import { realFourier } from '../../../models/sequence/fourier.ts'
import { randomFor } from '../../../protocol/random.ts'

test('a fast transform of any power of two equals the defining sum', () => {
  const random = randomFor('fourier')
  for (let size = 2; size <= 512; size *= 2) {
    const fourier = realFourier(size)
    for (let repeat = 0; repeat < 2; repeat++) {
      const signal = Float64Array.from({ length: size }, () => random.normal())
      fourier.transform(signal)
      expect(fourier.real.length).toBe(size / 2 + 1)
      for (let k = 0; k <= size / 2; k++) {
        const [real, imaginary] = bySum(signal, k)
        const error =
          Math.abs(fourier.real[k]! - real) + Math.abs(fourier.imaginary[k]! - imaginary)
        if (!(error < 1e-10)) throw new Error(`size ${size} bin ${k}: off by ${error}`)
      }
    }
  }
})

test('a length that is no power of two is refused', () => {
  for (const size of [0, 1, 3, 200]) expect(() => realFourier(size)).toThrow('power of two')
})

function bySum(signal: Float64Array, k: number): [number, number] {
  let [real, imaginary] = [0, 0]
  signal.forEach((value, n) => {
    const angle = (-2 * Math.PI * k * n) / signal.length
    real += value * Math.cos(angle)
    imaginary += value * Math.sin(angle)
  })
  return [real, imaginary]
}
