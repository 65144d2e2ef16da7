import { expect, test } from 'bun:test'
import {
  applyPush,
  beginPhase,
  decidePush,
  fenceTrainer,
  holdPush,
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
