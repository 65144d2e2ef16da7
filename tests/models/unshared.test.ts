import { expect, test } from 'bun:test'
import { unsharing } from '../../models/unshared.ts'
import { tensorOf } from '../../protocol/tensor.ts'

const shared = (...values: number[]): Float32Array => {
  const made = new Float32Array(new SharedArrayBuffer(4 * values.length))
  made.set(values)
  return made
}
const float32 = (bytes: Uint8Array): number[] => [
  ...new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4),
]

test('shared feeds are copied, shared fetches are filled after the run, others pass as they are', () => {
  const unshare = unsharing(true)
  const own = tensorOf(Float32Array.of(9))
  const result = shared(0, 0)
  const run = unshare({ x: tensorOf(shared(1, 2)), own }, { y: tensorOf(result) })
  expect(run.feeds.own).toBe(own)
  for (const { bytes } of [...Object.values(run.feeds), ...Object.values(run.fetches)]) {
    expect(bytes.buffer).not.toBeInstanceOf(SharedArrayBuffer)
  }
  expect(float32(run.feeds.x!.bytes)).toEqual([1, 2])
  run.fetches.y!.bytes.set(new Uint8Array(Float32Array.of(3, 4).buffer))
  expect([...result]).toEqual([0, 0])
  run.settle()
  expect([...result]).toEqual([3, 4])
})

test('buffers are used again, never by two runs at a time, nor where the size has changed', () => {
  const unshare = unsharing(true)
  const start = (...values: number[]) => unshare({ x: tensorOf(shared(...values)) }, {})
  const first = start(1, 2)
  const second = start(3, 4)
  expect(second.feeds.x!.bytes).not.toBe(first.feeds.x!.bytes)
  expect(float32(first.feeds.x!.bytes)).toEqual([1, 2])
  first.settle()
  expect(start(5, 6).feeds.x!.bytes).toBe(first.feeds.x!.bytes)
  second.settle()
  expect(start(7).feeds.x!.bytes.byteLength).toBe(4)
})

test('where shared memory is taken nothing is copied', () => {
  const feeds = { x: tensorOf(shared(1)) }
  expect(unsharing(false)(feeds, {}).feeds).toBe(feeds)
})
