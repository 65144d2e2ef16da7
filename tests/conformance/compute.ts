// The contract of a compute thread: shared memory, calls in order, errors by name.
import { deepEqual, equal, match } from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import type { ComputeThread } from '../../runtime/environment.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { type Case, group, messageOf } from './cases.ts'

interface Fixture extends AsyncDisposable {
  readonly thread: ComputeThread
}

function open(): Fixture {
  const module = fileURLToPath(new URL('../chaos/fixtures/compute.ts', import.meta.url))
  const thread = realEnvironment({ seed: 'compute' }).compute.start(module)
  return {
    thread,
    async [Symbol.asyncDispose]() {
      thread.close()
    },
  }
}

const computeCases: readonly Case<Fixture>[] = [
  [
    'answers every call, in order',
    async ({ thread }) => {
      const calls = [1, 2, 3].map((value) => thread.call('double', value))
      deepEqual(await Promise.all(calls), [2, 4, 6])
    },
  ],
  [
    'writes into memory that both sides share',
    async ({ thread }) => {
      const shared = new Float32Array(new SharedArrayBuffer(40))
      equal(await thread.call('fill', shared), 10)
      equal(shared[9], 7)
    },
  ],
  [
    'reports what a method threw, and goes on',
    async ({ thread }) => {
      equal(await messageOf(thread.call('refuse', null)), 'RangeError: not today')
      match(await messageOf(thread.call('constructor', null)), /no method constructor/)
      equal(await thread.call('double', 4), 8)
    },
  ],
  [
    'closes when the last call is answered, and takes no more',
    async ({ thread }) => {
      const last = thread.call('double', 4)
      thread.close()
      equal(await last, 8)
      equal(await messageOf(thread.call('double', 5)), 'double: the thread is closed')
    },
  ],
]

export const computeThreads = group('a compute thread', open, computeCases)
