import { expect, test } from 'bun:test'
import { parameterShard } from '../../actors/parameter-shard.ts'
import { encodeGradient } from '../../models/compression.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import type { Pushed, ShardMessage } from '../../protocol/training.ts'
import { simulatedDisk } from '../../runtime/simulation/disk.ts'
import { virtualClock } from '../../runtime/simulation/virtual-clock.ts'

const LENGTH = 3

/** A shard actor by itself: `push` hands it a message and answers where its reply will be. */
function startShard(policy: string, trainers: readonly string[], disk = simulatedDisk()) {
  const environment = { disk, clock: virtualClock() }
  const context = { environment, log: { info() {}, warn() {} } } as never
  const config = { folder: 'shard', length: LENGTH, incarnation: 1, journalBytesMax: 1 << 20 }
  const state = parameterShard.start(config, context)
  const tell = (message: ShardMessage) => void parameterShard.receive(state, message, context)
  const start = {
    phase: 1,
    steps: 100,
    optimizer: optimizerSpec('sgd', {}),
    policy: parsePolicy(policy),
    trainers: [...trainers],
    average: { name: 'exponential', decay: 0, debias: false },
    parameters: tensorOf(new Float32Array(LENGTH)),
  }
  const nobody = { tell: () => 'accepted' } as never
  tell({ type: 'begin', start, replyTo: nobody })
  return {
    tell,
    nobody,
    push(trainer: string, sequence: number, incarnation = 1): Pushed[] {
      const answers: Pushed[] = []
      const replyTo = { tell: (pushed: Pushed) => void answers.push(pushed) } as never
      const seen = state.store.shard.version
      const push = {
        trainer,
        incarnation,
        phase: 1,
        sequence,
        versions: { lattice: seen, outer: seen, inner: seen },
        weight: 1,
        gradient: encodeGradient('float32', new Float32Array(LENGTH).fill(1)),
      }
      tell({ type: 'push', push, replyTo })
      return answers
    },
  }
}

test('SSP: a fast trainer waits for the slowest, also when it asks again', () => {
  const { push } = startShard('ssp:1', ['fast', 'slow'])
  expect(push('fast', 0)).toHaveLength(1)
  const waiting = push('fast', 1)
  expect(waiting).toEqual([])
  const again = push('fast', 1)
  expect([waiting, again]).toEqual([[], []])
  push('slow', 2)
  // The newest asker is answered; the former has given up.
  expect(waiting).toEqual([])
  expect(again.map(({ verdict }) => verdict)).toEqual(['duplicate'])
})

test('a fence that comes late finds the successor at work and leaves its answers alone', () => {
  const { push, tell, nobody } = startShard('ssp:1', ['fast', 'slow'])
  push('fast', 0, 2)
  const waiting = push('fast', 1, 2)
  expect(waiting).toEqual([])
  tell({ type: 'fence', trainer: 'fast', incarnation: 2, replyTo: nobody })
  push('slow', 2)
  expect(waiting.map(({ verdict }) => verdict)).toEqual(['applied'])
})

test('a push of a successor fences its predecessor', () => {
  const { push } = startShard('downpour', ['a'])
  push('a', 0, 2)
  expect(push('a', 1, 1)).toMatchObject([{ verdict: 'refused', reason: 'former-incarnation' }])
})

test('a phase that cannot begin is refused before it is journalled: the next life starts', () => {
  const disk = simulatedDisk()
  const { tell, nobody } = startShard('downpour', ['a'], disk)
  const start = {
    phase: 2,
    steps: 1,
    optimizer: { name: 'no such optimizer' },
    policy: parsePolicy('downpour'),
    trainers: ['a'],
    average: { name: 'exponential', decay: 0, debias: false },
  }
  expect(() => tell({ type: 'begin', start, replyTo: nobody })).toThrow('no such optimizer')
  expect(startShard('downpour', ['a'], disk).push('a', 0)).toMatchObject([{ verdict: 'applied' }])
})
