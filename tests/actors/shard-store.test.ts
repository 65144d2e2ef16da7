import { expect, test } from 'bun:test'
import {
  adjustShard,
  applyPush,
  beginPhase,
  decidePush,
  fenceTrainer,
  holdPush,
  learningRateOf,
  refusalOfAdjustment,
} from '../../actors/shard-state.ts'
import { FormerOwnerError, openShardStore, type ShardStore } from '../../actors/shard-store.ts'
import { encodeGradient } from '../../models/compression.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { randomFor } from '../../protocol/random.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import type { Adjustment, PhaseStart, Push, Pushed } from '../../protocol/training.ts'
import { type SimulatedDisk, simulatedDisk } from '../../runtime/simulation/disk.ts'

const LENGTH = 300

const start = (policy: string): PhaseStart => ({
  phase: 1,
  steps: 40,
  optimizer: optimizerSpec('adam', { rate: 0.01 }),
  policy: parsePolicy(policy),
  trainers: ['trainer-0', 'trainer-1'],
  average: { name: 'exponential', decay: 0.9, debias: false },
  parameters: tensorOf(Float32Array.from({ length: LENGTH }, (_, i) => Math.sin(i))),
})

function open(disk: SimulatedDisk, incarnation: number): ShardStore {
  return openShardStore(disk, { folder: 's', length: LENGTH, incarnation })
}

function begin(store: ShardStore, policy: string): void {
  store.append({ type: 'begin', start: start(policy) })
  beginPhase(store.shard, start(policy))
}

function step(store: ShardStore, sequence: number, codec: 'float32' | 'int8' = 'float32'): void {
  const random = randomFor('gradient', sequence)
  const values = Float32Array.from({ length: LENGTH }, () => random.normal())
  const { version } = store.shard
  const push: Push = {
    trainer: `trainer-${sequence % 2}`,
    incarnation: 1,
    phase: 1,
    sequence,
    versions: { lattice: version, outer: version, inner: version },
    weight: 1 + (sequence % 3),
    gradient: encodeGradient(codec, values),
  }
  const decided = decidePush(store.shard, push)
  if (decided.type === 'answer') throw new Error(`unexpected answer ${decided.pushed.verdict}`)
  store.append({ type: 'push', push })
  if (decided.type === 'accept') applyPush(store.shard, push, decided.scale)
  else holdPush(store.shard, push, decided.scale)
}

for (const policy of ['downpour', 'staleness-aware', 'hard-sync']) {
  test(`a shard killed after any acknowledged update comes back bit for bit: ${policy}`, () => {
    const disk = simulatedDisk()
    let store = open(disk, 1)
    begin(store, policy)
    for (let sequence = 0; sequence < 20; sequence++) {
      step(store, sequence, sequence % 2 ? 'int8' : 'float32')
      if (sequence === 6 || sequence === 13) store.checkpoint()
      const { parameters, average, version, applied, counts, staleness, clocks } = store.shard
      store = open(disk, sequence + 2)
      expect(store.shard.parameters).toEqual(parameters)
      expect(store.shard.average).toEqual(average)
      expect(store.shard.held.size).toBe(policy === 'hard-sync' ? (sequence + 1) % 2 : 0)
      expect({ ...store.shard, version, applied, counts, staleness, clocks }).toEqual(store.shard)
    }
  })
}

test('an update whose record was cut was never acknowledged, and is not there', () => {
  const disk = simulatedDisk()
  const store = open(disk, 1)
  begin(store, 'downpour')
  step(store, 0)
  const before = store.shard.parameters.slice()
  const whole = disk.read('s/journal-00000000').byteLength
  step(store, 1)
  disk.truncate('s/journal-00000000', whole + 100)
  expect(open(disk, 2).shard.parameters).toEqual(before)
})

test('fences survive the death of the shard', () => {
  const disk = simulatedDisk()
  const store = open(disk, 1)
  begin(store, 'downpour')
  store.append({ type: 'fence', trainer: 'trainer-0', incarnation: 3 })
  fenceTrainer(store.shard, 'trainer-0', 3)
  expect(open(disk, 2).shard.fences.get('trainer-0')).toBe(3)
})

test('a former owner can neither open its folder again nor write a snapshot', () => {
  const disk = simulatedDisk()
  const former = open(disk, 1)
  begin(former, 'downpour')
  open(disk, 2)
  expect(() => former.checkpoint()).toThrow(FormerOwnerError)
  expect(() => open(disk, 1)).toThrow(FormerOwnerError)
})

test('with a full disk the update is refused before it is applied', () => {
  const disk = simulatedDisk()
  const store = open(disk, 1)
  begin(store, 'downpour')
  step(store, 0)
  const before = store.shard.parameters.slice()
  disk.failWith('ENOSPC')
  expect(() => step(store, 1)).toThrow('the disk is full')
  expect(store.shard.parameters).toEqual(before)
  disk.failWith(undefined)
  expect(open(disk, 2).shard.parameters).toEqual(before)
})

test('adjustments come back with everything else, from the journal and from a snapshot', () => {
  for (const snapshotAt of [Number.NaN, 4, 9]) {
    const disk = simulatedDisk()
    let store = open(disk, 1)
    begin(store, 'downpour')
    for (let sequence = 0; sequence < 12; sequence++) {
      if (sequence === 3) adjust(store, { change: 1, rateScale: 0.5 })
      if (sequence === 6) adjust(store, { change: 2, policy: parsePolicy('hard-sync') })
      if (sequence === 8) adjust(store, { change: 3, trainers: ['a', 'b', 'c'], rateScale: 3 })
      step(store, sequence)
      if (sequence === snapshotAt) store.checkpoint()
      const before = store.shard
      store = open(disk, sequence + 2)
      expect(store.shard.parameters).toEqual(before.parameters)
      expect(store.shard.held.size).toBe(before.held.size)
      expect(store.shard.change).toBe(before.change)
      expect(learningRateOf(store.shard)).toBe(learningRateOf(before))
      expect(store.shard.recipe?.start).toEqual(before.recipe!.start)
    }
    expect(learningRateOf(store.shard)).toBeCloseTo(0.015, 12)
  }
})

function adjust(store: ShardStore, adjustment: Adjustment): Pushed | undefined {
  expect(refusalOfAdjustment(store.shard, adjustment)).toBeUndefined()
  store.append({ type: 'adjust', adjustment })
  return adjustShard(store.shard, adjustment)
}

test('an adjustment is made once, however often it is sent', () => {
  const store = open(simulatedDisk(), 1)
  begin(store, 'downpour')
  for (let time = 0; time < 3; time++) adjust(store, { change: 1, rateScale: 0.5 })
  expect(learningRateOf(store.shard)).toBeCloseTo(0.005, 12)
})

test('a rate that is halved makes half of the step', () => {
  const movedBy = (rateScale: number): number => {
    const store = open(simulatedDisk(), 1)
    begin(store, 'downpour')
    const before = store.shard.parameters.slice()
    adjust(store, { change: 1, rateScale })
    step(store, 0)
    return store.shard.parameters.reduce((sum, value, i) => sum + Math.abs(value - before[i]!), 0)
  }
  expect(movedBy(0.5) / movedBy(1)).toBeCloseTo(0.5, 3)
})

test('a round that is held is completed by another policy, and by a team that it fills', () => {
  for (const change of [
    { policy: parsePolicy('downpour') },
    { policy: parsePolicy('hard-sync') },
    { trainers: ['trainer-0'] },
  ]) {
    const store = open(simulatedDisk(), 1)
    begin(store, 'hard-sync')
    step(store, 0)
    expect(store.shard.held.size).toBe(1)
    const { version } = store.shard
    expect(adjust(store, { change: 1, ...change })).toMatchObject({ verdict: 'applied' })
    expect(store.shard.held.size).toBe(0)
    expect(store.shard.version).toBe(version + 1)
  }
  const store = open(simulatedDisk(), 1)
  begin(store, 'hard-sync')
  step(store, 0)
  expect(adjust(store, { change: 1, trainers: ['a', 'b', 'c'] })).toBeUndefined()
  expect(store.shard.held.size).toBe(1)
})

test('what a shard cannot be is refused before anything is written', () => {
  const store = open(simulatedDisk(), 1)
  expect(refusalOfAdjustment(store.shard, { change: 1, rateScale: 2 })).toContain('no phase')
  begin(store, 'downpour')
  for (const adjustment of [
    { rateScale: 0 },
    { rateScale: Number.NaN },
    { rateScale: -1 },
    { trainers: [] },
    { policy: { name: 'nonsense' } },
    { policy: parsePolicy('gap-aware') },
  ]) {
    expect(refusalOfAdjustment(store.shard, { change: 1, ...adjustment })).toBeString()
  }
})
