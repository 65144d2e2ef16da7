import { expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  adjustShard,
  applyPush,
  beginPhase,
  decidePush,
  fenceTrainer,
  holdPush,
  judgeAdjustment,
  learningRateOf,
  type ShardState,
} from '../../actors/shard-state.ts'
import { FormerOwnerError, openShardStore, type ShardStore } from '../../actors/shard-store.ts'
import { encodeGradient } from '../../models/compression.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { randomFor } from '../../protocol/random.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import type { PhaseStart, Push } from '../../protocol/training.ts'
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

const adjustments = fc.record(
  {
    rateScale: fc.constantFrom(0.5, 2, 0.1),
    policy: fc.constantFrom('downpour', 'hard-sync', 'softsync:2', 'ssp:1', 'staleness-aware'),
    trainers: fc.constantFrom(['trainer-0'], ['trainer-0', 'trainer-1'], ['a', 'b', 'c']),
  },
  { requiredKeys: [] },
)

test('a shard that was steered comes back bit for bit after any record, and goes on alike', () => {
  const move = fc.oneof(
    { weight: 3, arbitrary: fc.constant('push' as const) },
    { weight: 2, arbitrary: adjustments },
    { weight: 1, arbitrary: fc.constant('checkpoint' as const) },
  )
  let adjusted = 0
  fc.assert(
    fc.property(fc.array(move, { minLength: 4, maxLength: 24 }), (moves) => {
      const disk = simulatedDisk()
      let store = open(disk, 1)
      begin(store, 'hard-sync')
      let sequence = 0
      for (const [index, what] of moves.entries()) {
        if (what === 'push') step(store, sequence++)
        else if (what === 'checkpoint') store.checkpoint()
        else {
          const { policy, ...rest } = what
          const adjustment = {
            ...rest,
            change: index + 1,
            ...(policy && { policy: parsePolicy(policy) }),
          }
          expect(judgeAdjustment(store.shard, adjustment)).toBe('')
          store.append({ type: 'adjust', adjustment })
          adjustShard(store.shard, adjustment)
          adjusted += 1
        }
        const before = store.shard
        store = open(disk, index + 2)
        expect(store.shard.parameters).toEqual(before.parameters)
        expect(store.shard.average).toEqual(before.average)
        expect([...store.shard.held.keys()]).toEqual([...before.held.keys()])
        const { version, applied, counts, staleness, clocks, change } = before
        expect({ ...store.shard, version, applied, counts, staleness, clocks, change }).toEqual(
          store.shard,
        )
        expect(store.shard.recipe?.rateScale).toBe(before.recipe!.rateScale)
        expect(store.shard.recipe?.start).toEqual(before.recipe!.start)
      }
    }),
    { seed: 12, numRuns: 60 },
  )
  expect(adjusted).toBeGreaterThan(100)
})

test('a rate is scaled for the phase under way, and a new phase has its own', () => {
  const store = open(simulatedDisk(), 1)
  begin(store, 'downpour')
  step(store, 0)
  const { optimizerState } = store.shard.recipe!
  expect(learningRateOf(store.shard)).toBe(0.01)
  adjustShard(store.shard, { change: 1, rateScale: 0.5 })
  adjustShard(store.shard, { change: 2, rateScale: 0.5 })
  expect(learningRateOf(store.shard)).toBe(0.0025)
  expect(store.shard.recipe!.optimizerState).toBe(optimizerState)
  const before = store.shard.parameters.slice()
  const twin = open(simulatedDisk(), 1)
  begin(twin, 'downpour')
  step(twin, 0)
  step(twin, 1)
  step(store, 1)
  const moved = (shard: ShardState) => shard.parameters.map((value, i) => value - before[i]!)
  const whole = moved(twin.shard)
  moved(store.shard).forEach((part, i) => {
    expect(Math.abs(part - whole[i]! / 4)).toBeLessThan(1e-6)
  })
  beginPhase(store.shard, { ...start('downpour'), phase: 2 })
  expect(learningRateOf(store.shard)).toBe(0.01)
})
