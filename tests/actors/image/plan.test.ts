import { expect, test } from 'bun:test'
import { completeImageOptions, type ImageOptions } from '../../../actors/image/options.ts'
import { planImages } from '../../../actors/image/plan.ts'
import { parseOptimizer, rateAt } from '../../../models/optimizers/index.ts'

const options = (changes: Partial<ImageOptions> = {}) =>
  completeImageOptions({ data: 'images', ...changes })

test('every image is seen once an epoch, the last minibatch of an epoch included', () => {
  const { stepsPerEpoch, start, trainers } = planImages(options({ epochs: 3, batch: 64 }), 1_000)
  expect(stepsPerEpoch).toBe(16)
  expect(start.steps).toBe(48)
  expect(trainers).toBe(2)
})

test('the rate rises over the first 15 %, then falls to nothing', () => {
  const { start } = planImages(options({ epochs: 10, batch: 10, learningRate: 0.1 }), 1_000)
  const { schedule } = parseOptimizer(start.optimizer)
  expect(rateAt(schedule, 0)).toBeCloseTo(0.1 / 150, 9)
  expect(rateAt(schedule, 149)).toBeCloseTo(0.1, 9)
  expect(rateAt(schedule, 575)).toBeCloseTo(0.05, 9)
  expect(rateAt(schedule, 1_000)).toBe(0)
})

test('RMSProp has the constants of the paper, momentum is Nesterov’s', () => {
  const optimizerOf = (optimizer: 'rmsprop' | 'momentum', schedule = {}) =>
    planImages(options({ optimizer, ...schedule }), 640).start.optimizer
  expect(optimizerOf('rmsprop', { schedule: 'exponential' })).toMatchObject({
    epsilon: 1,
    momentum: 0.9,
    decay: 0.9,
    schedule: { rate: 0.045, decay: 0.94, everyUpdates: 20, staircase: true },
  })
  expect(optimizerOf('momentum')).toMatchObject({ nesterov: true, weightDecay: 5e-4 })
})

test('a second lane would push into the next round of hard-sync: it has none', () => {
  const lanes = (policy: string) => planImages(options({ policy }), 640).lanes
  expect([lanes('downpour'), lanes('hard-sync'), lanes('ssp:3')]).toEqual([2, 1, 1])
})

test('workers, replicas and subnetworks follow from each other', () => {
  const shape = (changes: Partial<ImageOptions>) => {
    const { workers, replicas, subnetworks } = options(changes)
    return [workers, replicas, subnetworks]
  }
  expect(shape({})).toEqual([2, 2, 1])
  expect(shape({ workers: 4 })).toEqual([4, 4, 1])
  expect(shape({ subnetworks: 3 })).toEqual([6, 2, 3])
  expect(shape({ subnetworks: 3, replicas: 1 })).toEqual([3, 1, 3])
  expect(shape({ subnetworks: 2, workers: 6 })).toEqual([6, 3, 2])
})

test('every subnetwork has a shard at least, and minibatches enough to keep it busy', () => {
  expect(options({ subnetworks: 3 }).shards).toBe(3)
  expect(options({ subnetworks: 3, shards: 5 }).shards).toBe(5)
  expect(options({}).shards).toBe(2)
  const lanes = (changes: Partial<ImageOptions>) => planImages(options(changes), 640).lanes
  expect(lanes({})).toBe(2)
  expect(lanes({ subnetworks: 3 })).toBe(4)
  expect(lanes({ subnetworks: 3, microBatches: 2 })).toBe(3)
  expect(lanes({ subnetworks: 3, policy: 'hard-sync' })).toBe(1)
})

const refused: readonly (readonly [Partial<ImageOptions>, string])[] = [
  [{ workers: 5, subnetworks: 2 }, 'workers: 5; 2 replicas of 2 subnetworks are 4 processes'],
  [{ codec: 'int8' }, 'codec: int8 is too coarse beside running statistics'],
  [{ microBatches: 2 }, 'micro-batches: 2; only a network that is cut takes pieces'],
  [{ batch: 10, microBatches: 3 }, 'micro-batches: 3 do not divide a batch of 10'],
  [{ size: 31 }, 'size: 31 is out of range; give 32 to 512'],
  [{ epochs: 1.5 }, 'epochs: 1.5 is out of range'],
  [{ network: 'vgg' as never }, "network: 'vgg'; give one of googlenet"],
  [{ schedule: 'step' as never }, "schedule: 'step'; give constant, linear"],
  [{ subnetworks: 2, shards: 1 }, 'shards: 1; each of 2 subnetworks has its own: give 2 or more'],
  [{ subnetworks: 60 }, 'subnetworks: 60; googlenet-small is cut into 1 to '],
  [{ policy: 'ssp:2', subnetworks: 2 }, 'policy: ssp:2 waits for trainers'],
  [{ chaos: 'kill:subnetwork@30%' }, 'chaos: kill:subnetwork meets nobody'],
  [{ colour: 2 }, 'colour: 2 is out of range; give 0 to 1'],
  [{ learningRate: 0 }, 'learningRate: 0 is out of range'],
]

for (const [changes, message] of refused) {
  test(`refused by name: ${message}`, () => {
    expect(() => options(changes)).toThrow(message)
  })
}
