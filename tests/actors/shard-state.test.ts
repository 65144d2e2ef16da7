import { expect, test } from 'bun:test'
import {
  applyPush,
  beginPhase,
  decidePush,
  emptyShard,
  fenceTrainer,
  holdPush,
  mayGoOn,
  type ShardState,
} from '../../actors/shard-state.ts'
import { encodeGradient } from '../../models/compression.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { randomFor } from '../../protocol/random.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import type { Push } from '../../protocol/training.ts'

const LENGTH = 6

function shardWith(
  policy: string,
  options: { trainers?: string[]; steps?: number } = {},
): ShardState {
  const shard = emptyShard(LENGTH)
  beginPhase(shard, {
    phase: 1,
    steps: options.steps ?? 100,
    optimizer: optimizerSpec('sgd', { rate: 0.5 }),
    policy: parsePolicy(policy),
    trainers: options.trainers ?? [],
    average: { name: 'exponential', decay: 0.5, debias: false },
    parameters: tensorOf(new Float32Array(LENGTH).fill(1)),
  })
  return shard
}

function pushOf(shard: ShardState, changes: Partial<Push> & { values?: number[] }): Push {
  const { values = new Array(LENGTH).fill(1), ...rest } = changes
  const { version } = shard
  return {
    trainer: 'trainer-0',
    incarnation: 1,
    phase: 1,
    sequence: 0,
    versions: { lattice: version, outer: version, inner: version },
    weight: 1,
    gradient: encodeGradient('float32', Float32Array.from(values)),
    ...rest,
  }
}

function send(shard: ShardState, push: Push): string {
  const decided = decidePush(shard, push)
  if (decided.type === 'answer') return decided.pushed.reason || decided.pushed.verdict
  if (decided.type === 'accept') return applyPush(shard, push, decided.scale).verdict
  return holdPush(shard, push, decided.scale)?.verdict ?? 'held'
}

test('a step is applied once, whoever sends it again', () => {
  const shard = shardWith('downpour')
  expect(send(shard, pushOf(shard, {}))).toBe('applied')
  const after = [...shard.parameters]
  expect(send(shard, pushOf(shard, {}))).toBe('duplicate')
  expect(send(shard, pushOf(shard, { trainer: 'trainer-1' }))).toBe('duplicate')
  expect([...shard.parameters]).toEqual(after)
  expect(after).toEqual(new Array(LENGTH).fill(0.5))
})

test('a trainer that was declared dead is refused, its successor is heard', () => {
  const shard = shardWith('downpour')
  fenceTrainer(shard, 'trainer-0', 2)
  expect(send(shard, pushOf(shard, { incarnation: 1 }))).toBe('former-incarnation')
  expect(send(shard, pushOf(shard, { incarnation: 2 }))).toBe('applied')
  fenceTrainer(shard, 'trainer-0', 1)
  expect(send(shard, pushOf(shard, { incarnation: 1, sequence: 1 }))).toBe('former-incarnation')
})

test('a baseline ahead of the shard, another phase, a wrong length and NaN are refused by name', () => {
  const shard = shardWith('downpour')
  const ahead = { lattice: 9, outer: 9, inner: 9 }
  expect(send(shard, pushOf(shard, { versions: ahead }))).toBe('baseline-ahead')
  expect(send(shard, pushOf(shard, { phase: 2 }))).toBe('other-phase')
  expect(send(shard, pushOf(shard, { values: [1, 2] }))).toBe('wrong-length')
  const notFinite = [0, 0, Number.NaN, 0, 0, 0]
  expect(send(shard, pushOf(shard, { values: notFinite }))).toBe('not-finite')
  expect([...shard.parameters]).toEqual(new Array(LENGTH).fill(1))
})

test('downpour with a limit refuses what is staler', () => {
  const shard = shardWith('downpour:1')
  const first = pushOf(shard, { sequence: 0 })
  const second = pushOf(shard, { sequence: 1, trainer: 'trainer-1' })
  const third = pushOf(shard, { sequence: 2, trainer: 'trainer-2' })
  expect([first, second, third].map((push) => send(shard, push))).toEqual([
    'applied',
    'applied',
    'stale',
  ])
  expect(shard.staleness.slice(0, 3)).toEqual([1, 1, 0])
})

test('hard-sync equals one process with the joined minibatch, to rounding', () => {
  const random = randomFor('hard-sync')
  const shard = shardWith('hard-sync', { trainers: ['trainer-0', 'trainer-1'], steps: 20 })
  const parameters = new Float32Array(LENGTH).fill(1)
  for (let round = 0; round < 10; round++) {
    const [weights, gradients] = [
      [3, 5],
      [0, 1].map(() => Array.from({ length: LENGTH }, () => random.normal())),
    ]
    const pushes = gradients.map((values, index) =>
      pushOf(shard, {
        sequence: 2 * round + index,
        trainer: `trainer-${index}`,
        weight: weights[index]!,
        values,
      }),
    )
    if (round % 2) pushes.reverse()
    expect(pushes.map((push) => send(shard, push))).toEqual(['held', 'applied'])
    for (let i = 0; i < LENGTH; i++) {
      parameters[i]! -= (0.5 * (3 * gradients[0]![i]! + 5 * gradients[1]![i]!)) / 8
    }
  }
  shard.parameters.forEach((value, i) => {
    expect(value).toBeCloseTo(parameters[i]!, 5)
  })
})

test('a hard-sync round takes the step of a dead trainer from its successor, and its last round is smaller', () => {
  const shard = shardWith('hard-sync', { trainers: ['trainer-0', 'trainer-1'], steps: 3 })
  expect(send(shard, pushOf(shard, { sequence: 0 }))).toBe('held')
  fenceTrainer(shard, 'trainer-0', 2)
  expect(send(shard, pushOf(shard, { sequence: 0, incarnation: 2 }))).toBe('held')
  expect(send(shard, pushOf(shard, { sequence: 1, trainer: 'trainer-1' }))).toBe('applied')
  expect(send(shard, pushOf(shard, { sequence: 2, trainer: 'trainer-1' }))).toBe('applied')
})

test('statistics follow what a push brings, and neither optimizer nor decay touches them', () => {
  const shard = emptyShard(LENGTH)
  const { recipe } = shardWith('downpour')
  beginPhase(shard, {
    ...recipe!.start,
    optimizer: optimizerSpec('momentum', { rate: 0.5, weightDecay: 0.1, clipNorm: 1e9 }),
    sections: [
      { role: 'decayed', length: 2 },
      { role: 'statistics', length: 2 },
      { role: 'free', length: 2 },
    ],
    parameters: tensorOf(new Float32Array(LENGTH).fill(1)),
  })
  for (const sequence of [0, 1]) {
    expect(send(shard, pushOf(shard, { sequence, values: [0, 0, 3, 5, 0, 0] }))).toBe('applied')
  }
  const [w0, , mean, variance, ...free] = shard.parameters
  // 1, 1 + 0.1 (3 - 1), ... : PyTorch's running statistics.
  expect(mean).toBeCloseTo(1 + 0.2 + 0.1 * (3 - 1.2), 6)
  expect(variance).toBeCloseTo(1 + 0.4 + 0.1 * (5 - 1.4), 6)
  expect(free).toEqual([1, 1])
  // v = 0.05, then 0.9 v + 0.5 x 0.1 x 0.95
  expect(w0).toBeCloseTo(0.95 - (0.045 + 0.0475), 6)
})

test('SSP lets nobody run more than its bound ahead, and waits for no dead trainer', () => {
  const shard = shardWith('ssp:2', { trainers: ['fast', 'slow'], steps: 10 })
  const from = (trainer: string, sequence: number) =>
    send(shard, pushOf(shard, { trainer, sequence }))
  for (const sequence of [1, 2]) from('fast', sequence)
  expect(mayGoOn(shard, 'fast')).toBe(true)
  from('fast', 3)
  expect(mayGoOn(shard, 'fast')).toBe(false)
  expect(mayGoOn(shard, 'slow')).toBe(true)
  fenceTrainer(shard, 'slow', 2)
  expect(mayGoOn(shard, 'fast')).toBe(true)
})

test('when no step is left SSP holds nobody', () => {
  const shard = shardWith('ssp:0', { steps: 3 })
  for (const [trainer, sequence] of [
    ['slow', 0],
    ['fast', 1],
    ['fast', 2],
  ] as const) {
    send(shard, pushOf(shard, { trainer, sequence }))
  }
  expect(mayGoOn(shard, 'fast')).toBe(true)
})

test('the averaged copy follows the parameters by its decay', () => {
  const shard = shardWith('downpour')
  send(shard, pushOf(shard, { sequence: 0 }))
  expect(shard.average[0]).toBeCloseTo(0.75, 6)
  send(shard, pushOf(shard, { sequence: 1 }))
  expect(shard.average[0]).toBeCloseTo(0.375, 6)
})
