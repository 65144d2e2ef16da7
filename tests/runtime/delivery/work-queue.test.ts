// Work pulling: the backlog by itself, and queue and workers on several members that die at random.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { randomFor } from '../../../protocol/random.ts'
import { type Infer, struct, u32, union } from '../../../protocol/schema.ts'
import { createBacklog, type Job } from '../../../runtime/delivery/backlog.ts'
import {
  type ActorDefinition,
  createSystem,
  type GivenUp,
  next,
  queueWorker,
  type System,
  type WorkQueueConfig,
  type WorkQueueRef,
  workQueue,
} from '../../../runtime/index.ts'
import { createWorld, type World } from '../../../runtime/simulation/world.ts'

describe('a backlog', () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constant({ type: 'offer' as const }) },
      {
        weight: 6,
        arbitrary: fc.record({
          type: fc.constantFrom(
            'pull' as const,
            'done' as const,
            'failed' as const,
            'gone' as const,
          ),
          worker: fc.constantFrom('a', 'b', 'c'),
          choice: fc.nat(3),
        }),
      },
    ),
    { maxLength: 120, size: 'max' },
  )

  test('keeps every accepted item in exactly one place, and what came back in front', () => {
    fc.assert(
      fc.property(steps, (taken) => {
        const backlog = createBacklog<number>({ itemsMax: 12, triesMax: 3 })
        const tries = new Map<number, number>()
        const held = new Map<number, { worker: string; job: Job<number> }>()
        const ended = new Set<number>()
        let offered = 0
        const assign = (): void => {
          for (const { worker, id, job } of backlog.assign()) {
            expect([...held.values()].some(({ job: { item } }) => item === job.item)).toBe(false)
            expect(ended.has(job.item)).toBe(false)
            expect(job.tries).toBe(tries.get(job.item)!)
            // Nothing older waits behind it.
            const waiting = [...tries.keys()].filter(
              (item) =>
                !ended.has(item) && ![...held.values()].some(({ job }) => job.item === item),
            )
            expect(Math.min(...waiting)).toBe(job.item)
            held.set(id, { worker, job })
          }
        }
        const fail = (item: number, given: readonly Job<number>[]): void => {
          tries.set(item, tries.get(item)! + 1)
          const isOver = tries.get(item) === 3
          expect(given.some((job) => job.item === item)).toBe(isOver)
          if (isOver) ended.add(item)
        }
        for (const step of taken) {
          if (step.type === 'offer') {
            const isFull = tries.size - ended.size >= 12
            expect(backlog.offer(offered)).toBe(isFull ? 'full' : 'accepted')
            if (!isFull) tries.set(offered, 0)
            offered += 1
          } else if (step.type === 'pull') {
            backlog.pull(step.worker, step.choice)
          } else if (step.type === 'gone') {
            const own = [...held].filter(([, { worker }]) => worker === step.worker)
            const given = backlog.gone(step.worker, 'died')
            for (const [id, { job }] of own) {
              held.delete(id)
              fail(job.item, given)
            }
          } else {
            const [id, found] = [...held][step.choice] ?? []
            if (id === undefined || !found) continue
            const { worker, job } = found
            expect(backlog.done(worker === 'a' ? 'b' : 'a', id)).toBe(false)
            held.delete(id)
            if (step.type === 'done') {
              expect(backlog.done(worker, id)).toBe(true)
              ended.add(job.item)
            } else {
              const given = backlog.failed(worker, id, 'failed')
              fail(job.item, given ? [given] : [])
            }
            expect(backlog.done(worker, id)).toBe(false)
          }
          assign()
          const { waiting, held: holding, done, givenUp } = backlog.counts
          expect(waiting + holding + done + givenUp).toBe(tries.size)
          expect(holding).toBe(held.size)
        }
      }),
      { numRuns: 300 },
    )
  })

  test('hands out to workers in turn, to none more than it wants', () => {
    const backlog = createBacklog<number>()
    for (let item = 0; item < 9; item++) backlog.offer(item)
    backlog.pull('a', 1)
    backlog.pull('b', 3)
    backlog.pull('c', 0)
    expect(backlog.assign().map(({ worker }) => worker)).toEqual(['a', 'b', 'b', 'b'])
    expect(backlog.counts).toEqual({ waiting: 5, held: 4, workers: 3, done: 0, givenUp: 0 })
  })
})

const Item = struct({ value: u32 })
type Item = Infer<typeof Item>
const queueKind = workQueue(Item)

interface Log {
  readonly done: number[]
  /** Ends the work on an item; without it work is done at once. */
  hold?: (value: number) => Promise<void>
}

function workerOf(log: Log) {
  return queueWorker({
    kind: 'worker',
    item: Item,
    async work({ value }) {
      await log.hold?.(value)
      log.done.push(value)
    },
  })
}

async function startQueue(config: WorkQueueConfig = {}) {
  const world = createWorld()
  const near = createSystem({ environment: world.environment('near'), member: 'near' })
  const queue = near.spawn(queueKind, config, { name: 'queue', restart: 'permanent' })
  await near.listen()
  return { world, near, queue }
}

async function join(world: World, near: System, member: string, incarnation = 1): Promise<System> {
  const environment = world.environment(member, incarnation)
  const system = createSystem({ environment, member, incarnation })
  const joined = system.join(await near.listen())
  await world.clock.advance(20)
  await joined
  return system
}

async function offer(world: World, system: System, queue: WorkQueueRef<Item>, value: number) {
  const offered = system.ask(queue, { type: 'offer', item: { value } }, { timeoutMs: 10_000 })
  await world.clock.advance(5)
  return await offered
}

async function count(world: World, system: System, queue: WorkQueueRef<Item>) {
  const counted = system.ask(queue, { type: 'count' }, { timeoutMs: 10_000 })
  await world.clock.advance(5)
  return await counted
}

const countTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)
const sorted = (values: readonly number[]): number[] => values.toSorted((a, b) => a - b)

describe('a work queue', () => {
  test('refuses what is above its bound, and hands out in order', async () => {
    const { world, near, queue } = await startQueue({ itemsMax: 3 })
    const answers: string[] = []
    for (const value of countTo(4)) answers.push(await offer(world, near, queue, value))
    expect(answers).toEqual(['accepted', 'accepted', 'accepted', 'full'])
    const log: Log = { done: [] }
    near.spawn(workerOf(log), { queue }, { name: 'worker' })
    await world.clock.advance(100)
    expect(log.done).toEqual([1, 2, 3])
    expect(await count(world, near, queue)).toMatchObject({ waiting: 0, held: 0, done: 3 })
  })

  test('gives an item of a dead worker to another one, and before all others', async () => {
    const { world, near, queue } = await startQueue()
    const far = await join(world, near, 'far')
    const stuck: Log = { done: [], hold: () => new Promise(() => {}) }
    const remote = far.ref<never>({ member: 'near', path: '/queue' })
    const doomed = far.spawn(workerOf(stuck), { queue: remote, capacity: 2 }, { name: 'worker' })
    for (const value of countTo(4)) await offer(world, near, queue, value)
    expect(await count(world, near, queue)).toMatchObject({ waiting: 2, held: 2 })
    const log: Log = { done: [] }
    far.stopActor(doomed)
    await world.clock.advance(20)
    near.spawn(workerOf(log), { queue }, { name: 'worker' })
    await world.clock.advance(100)
    expect(log.done).toEqual([1, 2, 3, 4])
  })

  test('gives up an item after so many tries, and names it with the last cause', async () => {
    const given: GivenUp<Item>[] = []
    const DeadLetter = union({ 'given-up': { item: Item, tries: u32 } })
    const graveyard: ActorDefinition<undefined, null, GivenUp<Item>> = {
      kind: 'graveyard',
      protocol: DeadLetter as never,
      config: { decode: () => undefined },
      start: () => null,
      receive(state, message) {
        given.push(message)
        return next(state)
      },
    }
    const { world, near } = await startQueue()
    const deadLetters = near.spawn(graveyard, undefined, { name: 'graveyard' })
    const queue = near.spawn(queueKind, { triesMax: 2, deadLetters }, { name: 'strict' })
    const log: Log = {
      done: [],
      hold: async (value) => {
        if (value === 2) throw new RangeError('poison')
      },
    }
    near.spawn(workerOf(log), { queue }, { name: 'worker' })
    for (const value of countTo(3)) await offer(world, near, queue, value)
    await world.clock.advance(1_000)
    expect(log.done).toEqual([1, 3])
    expect(given).toEqual([
      { type: 'given-up', item: { value: 2 }, tries: 2, cause: 'RangeError: poison' },
    ])
  })

  test('that begins a new life is pulled from by the same workers', async () => {
    const { world, near, queue } = await startQueue()
    const far = await join(world, near, 'far')
    const log: Log = { done: [] }
    const remote = far.ref<never>({ member: 'near', path: '/queue' })
    far.spawn(workerOf(log), { queue: remote }, { name: 'worker' })
    await offer(world, near, queue, 1)
    near.stopActor(queue)
    await world.clock.advance(500)
    const again = near.spawn(queueKind, {}, { name: 'queue' })
    await world.clock.advance(1_500)
    await offer(world, near, again, 2)
    await world.clock.advance(100)
    expect(log.done).toEqual([1, 2])
  })

  for (const seed of countTo(20).map((index) => `work-${index}`)) {
    test(`every item is done while workers and members die: seed ${seed}`, async () => {
      const random = randomFor(seed)
      const { world, near, queue } = await startQueue({ triesMax: 1_000 })
      const log: Log = {
        done: [],
        hold: () => new Promise((done) => world.clock.after(random.below(30), done)),
      }
      const members = new Map<string, { system: System; incarnation: number }>()
      const start = async (member: string, incarnation: number): Promise<void> => {
        const system = await join(world, near, member, incarnation)
        const remote = system.ref<never>({ member: 'near', path: '/queue' })
        const capacity = 1 + random.below(4)
        system.spawn(workerOf(log), { queue: remote, capacity }, { name: 'worker' })
        members.set(member, { system, incarnation })
      }
      for (const member of ['m', 'n', 'o']) await start(member, 1)
      for (const value of countTo(60)) {
        expect(await offer(world, near, queue, value)).toBe('accepted')
        const name = ['m', 'n', 'o'][random.below(3)]!
        const { system, incarnation } = members.get(name)!
        const chance = random.next()
        if (chance < 0.05) world.network.cut()
        else if (chance < 0.1) {
          near.markLost(name, incarnation, 'its process has exited')
          system.stop()
          await start(name, incarnation + 1)
        } else if (chance < 0.2) {
          system.stopActor(system.ref({ member: name, path: '/worker' }))
          await world.clock.advance(1 + random.below(20))
          const remote = system.ref<never>({ member: 'near', path: '/queue' })
          system.spawn(workerOf(log), { queue: remote }, { name: 'worker' })
        }
      }
      await world.clock.advance(20_000)
      const { waiting, held, done } = await count(world, near, queue)
      expect({ waiting, held, done }).toEqual({ waiting: 0, held: 0, done: 60 })
      expect(sorted([...new Set(log.done)])).toEqual(countTo(60))
    })
  }
})
