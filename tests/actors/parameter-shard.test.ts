import { expect, test } from 'bun:test'
import { parameterShard } from '../../actors/parameter-shard.ts'
import { encodeGradient } from '../../models/compression.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import type { Adjusted, Adjustment, Pushed, ShardMessage } from '../../protocol/training.ts'
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
  let change = 0
  return {
    tell,
    nobody,
    store: state.store,
    adjust(adjustment: Omit<Adjustment, 'change'>, again = false): Adjusted {
      if (!again) change += 1
      const answers: Adjusted[] = []
      const replyTo = { tell: (adjusted: Adjusted) => void answers.push(adjusted) } as never
      tell({ type: 'adjust', adjustment: { change, ...adjustment }, replyTo })
      return answers[0]!
    },
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

test('another policy takes the held round as it is, and its trainers are answered', () => {
  const { push, adjust, store } = startShard('hard-sync', ['a', 'b', 'c'])
  const held = [push('a', 0), push('b', 1)]
  expect(held).toEqual([[], []])
  const status = adjust({ policy: parsePolicy('downpour') })
  expect(held.map(([answer]) => answer?.verdict)).toEqual(['applied', 'applied'])
  expect(status).toMatchObject({ policy: 'downpour', held: [], appliedBelow: 2 })
  // One round, however small: the mean of two equal gradients, once.
  expect(store.shard.parameters[0]).toBeCloseTo(-0.1, 6)
  expect(push('c', 2)).toMatchObject([{ verdict: 'applied' }])
})

test('a round that is full without who left is applied; one that grows goes on waiting', () => {
  const { push, adjust } = startShard('hard-sync', ['a', 'b', 'c'])
  const held = [push('a', 0), push('b', 1)]
  adjust({ trainers: ['a', 'b', 'c', 'd'] })
  expect(held.flat()).toEqual([])
  adjust({ trainers: ['a', 'b'] })
  expect(held.map(([answer]) => answer?.verdict)).toEqual(['applied', 'applied'])
})

test('SSP waits for nobody who left, and holds nobody by what was done under another policy', () => {
  const first = startShard('ssp:1', ['fast', 'slow'])
  first.push('fast', 0)
  const waiting = first.push('fast', 1)
  expect(waiting).toEqual([])
  first.adjust({ trainers: ['fast'] })
  expect(waiting.map(({ verdict }) => verdict)).toEqual(['applied'])
  const second = startShard('downpour', ['fast', 'slow'])
  for (const sequence of [0, 1, 2, 3, 4]) second.push('fast', sequence)
  second.adjust({ policy: parsePolicy('ssp:1') })
  expect(second.push('fast', 5)).toHaveLength(1)
  expect(second.push('fast', 6)).toEqual([])
})

test('what cannot be is refused by name, and nothing of it is journalled', () => {
  const { adjust, store } = startShard('downpour', ['a'])
  const before = store.journalBytes
  const refused: readonly (readonly [Omit<Adjustment, 'change'>, string])[] = [
    [{ policy: parsePolicy('dc-asgd:0.1') }, 'past versions'],
    [{ policy: { name: 'no such policy' } }, 'no such policy'],
    [{ policy: 'downpour' }, 'give an object'],
    [{ rateScale: 0 }, 'rateScale: 0'],
    [{ rateScale: Number.NaN }, 'rateScale: NaN'],
    [{ rateScale: Number.POSITIVE_INFINITY }, 'rateScale: Infinity'],
    [{ trainers: [] }, 'at least one'],
  ]
  for (const [adjustment, reason] of refused) {
    const answer = adjust({ rateScale: 2, ...adjustment })
    expect(answer.refusal).toContain(reason)
    expect(answer).toMatchObject({ learningRate: 0.1, policy: 'downpour', trainers: ['a'] })
  }
  expect(store.journalBytes).toBe(before)
})

test('an adjustment that is heard twice, or late, or again in a next life, is applied once', () => {
  const disk = simulatedDisk()
  const { adjust } = startShard('downpour', ['a'], disk)
  expect(adjust({ rateScale: 0.5 })).toMatchObject({ learningRate: 0.05, optimizer: 'sgd' })
  expect(adjust({ rateScale: 0.5 }, true).learningRate).toBe(0.05)
  const later = startShard('downpour', ['a'], disk)
  const again = later.adjust({ rateScale: 0.5 })
  expect(again).toMatchObject({ learningRate: 0.05, change: 1 })
  expect(later.adjust({ rateScale: 0.5 }).learningRate).toBe(0.025)
})
