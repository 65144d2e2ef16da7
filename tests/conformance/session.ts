// ONNX Runtime: feeds and results in shared memory and out of it, and errors by name.
import { deepEqual, equal, match } from 'node:assert/strict'
import { graphBuilder } from '../../models/builder.ts'
import { openSession, providers, type Session } from '../../models/session.ts'
import { float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { type Case, group, messageOf } from './cases.ts'

interface Fixture extends AsyncDisposable {
  /** sum = x + y, and the shape of x. */
  readonly session: Session
}

async function open(): Promise<Fixture> {
  const b = graphBuilder('sums')
  const x = b.input('x', ['N', 2])
  const sum = b.node('Add', [x, b.input('y', [2])], { name: 'sum' })
  const shape = b.node('Shape', [x], { name: 'shape' })
  const session = await openSession(b.build([sum, shape]), { threads: 1 })
  return { session, async [Symbol.asyncDispose]() {} }
}

type Memory = ArrayBufferConstructor | SharedArrayBufferConstructor

function inMemory(Memory: Memory, values: readonly number[], shape: readonly number[]): Tensor {
  const view = new Float32Array(new Memory(4 * values.length))
  view.set(values)
  return tensorOf(view, shape)
}

const memories = [ArrayBuffer, SharedArrayBuffer].map(
  (Memory): Case<Fixture> => [
    `takes its inputs from an ${Memory.name} and writes into a part of one`,
    async ({ session }) => {
      const whole = new Float32Array(new Memory(32)).fill(-1)
      const part = tensorOf(whole.subarray(3, 7), [2, 2])
      for (const [factor, expected] of [
        [1, [11, 22, 13, 24]],
        [2, [12, 24, 16, 28]],
      ] as const) {
        const x = inMemory(
          Memory,
          [1, 2, 3, 4].map((value) => factor * value),
          [2, 2],
        )
        const y = inMemory(Memory, [10, 20], [2])
        const { sum, shape } = await session.run({ x, y }, { sum: part })
        deepEqual([...whole], [-1, -1, -1, ...expected, -1])
        deepEqual(sum && [...float32View(sum)], expected)
        equal(shape?.dtype, 'int64')
      }
    },
  ],
)

const sessionCases: readonly Case<Fixture>[] = [
  ...memories,
  [
    'refuses what does not fit, by the name of the graph, and goes on',
    async ({ session }) => {
      const x = inMemory(ArrayBuffer, [1, 2], [1, 2])
      const y = inMemory(ArrayBuffer, [1, 2, 3], [3])
      match(await messageOf(session.run({ x, y })), /^sums: run failed: /)
      const { sum } = await session.run({ x, y: inMemory(ArrayBuffer, [1, 1], [2]) })
      deepEqual(sum && [...float32View(sum)], [2, 3])
    },
  ],
  [
    'its CPU provider comes with the package',
    async () => {
      deepEqual(
        providers().find(({ name }) => name === 'cpu'),
        { name: 'cpu', bundled: true },
      )
    },
  ],
]

export const sessions = group('a session of ONNX Runtime', open, sessionCases)
