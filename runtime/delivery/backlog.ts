// Which item goes to which worker, and what becomes of it: the decisions of a work queue, without actors.
import { assert } from '../../protocol/assert.ts'

export interface BacklogLimits {
  /** Items that wait or are worked on; above it an offer is 'full'. Default 10,000. */
  readonly itemsMax: number
  /** Tries of one item, failed or ended by the death of the worker, until it is given up. Default 3. */
  readonly triesMax: number
}

export const backlogLimits: BacklogLimits = { itemsMax: 10_000, triesMax: 3 }

export interface Job<Item> {
  /** In the order in which they were offered. */
  readonly order: number
  readonly item: Item
  /** Those that have ended without success. */
  readonly tries: number
  readonly cause: string
}

export interface Assignment<Item> {
  readonly worker: string
  /** Another one each time that an item is handed out. */
  readonly id: number
  readonly job: Job<Item>
}

export interface BacklogCounts {
  readonly waiting: number
  readonly held: number
  readonly workers: number
  readonly done: number
  readonly givenUp: number
}

export interface Backlog<Item> {
  readonly counts: BacklogCounts
  offer(item: Item): 'accepted' | 'full'
  /** From now on the worker holds up to `capacity` items at a time; 0 ends it. */
  pull(worker: string, capacity: number): void
  /** Hands out what can be: to each worker in turn that holds less than it wants. */
  assign(): readonly Assignment<Item>[]
  /** False where the worker does not hold it (any more). */
  done(worker: string, id: number): boolean
  /** The job goes back to the front, or is given up and returned. */
  failed(worker: string, id: number, cause: string): Job<Item> | undefined
  /** All that the worker holds goes back to the front, in order; returns what is given up. */
  gone(worker: string, cause: string): readonly Job<Item>[]
}

interface Worker<Item> {
  capacity: number
  readonly held: Map<number, Job<Item>>
}

export function createBacklog<Item>(limits: BacklogLimits = backlogLimits): Backlog<Item> {
  assert(limits.itemsMax >= 1 && limits.triesMax >= 1, 'at least one item and one try')
  /** What came back goes before what never left. */
  const returned: Job<Item>[] = []
  let fresh: Job<Item>[] = []
  let freshAt = 0
  const workers = new Map<string, Worker<Item>>()
  /** Those that hold less than they want, in turn. */
  const idle = new Set<string>()
  let held = 0
  let orders = 0
  let ids = 0
  let done = 0
  let givenUp = 0

  const waiting = (): number => returned.length + fresh.length - freshAt

  function take(): Job<Item> | undefined {
    const job = returned.shift() ?? fresh[freshAt++]
    // Paid for by those that were taken since.
    if (freshAt > 1_000 && freshAt * 2 > fresh.length) {
      fresh = fresh.slice(freshAt)
      freshAt = 0
    }
    return job
  }

  function release(name: string, id: number): Job<Item> | undefined {
    const worker = workers.get(name)
    const job = worker?.held.get(id)
    if (!worker || !job) return undefined
    worker.held.delete(id)
    held -= 1
    if (worker.held.size < worker.capacity) idle.add(name)
    return job
  }

  function giveBack(job: Job<Item>, cause: string): Job<Item> | undefined {
    const tried = { ...job, tries: job.tries + 1, cause }
    if (tried.tries >= limits.triesMax) {
      givenUp += 1
      return tried
    }
    const at = returned.findIndex(({ order }) => order > tried.order)
    returned.splice(at === -1 ? returned.length : at, 0, tried)
    return undefined
  }

  return {
    get counts() {
      return { waiting: waiting(), held, workers: workers.size, done, givenUp }
    },
    offer(item) {
      if (waiting() + held >= limits.itemsMax) return 'full'
      fresh.push({ order: orders++, item, tries: 0, cause: '' })
      return 'accepted'
    },
    pull(name, capacity) {
      const worker = workers.get(name) ?? { capacity, held: new Map<number, Job<Item>>() }
      worker.capacity = capacity
      workers.set(name, worker)
      if (worker.held.size < capacity) idle.add(name)
      else idle.delete(name)
    },
    assign() {
      const assigned: Assignment<Item>[] = []
      for (const name of idle) {
        if (waiting() === 0) break
        const worker = workers.get(name)
        const job = take()
        assert(
          worker !== undefined && job !== undefined,
          'who is idle is known, what waits is there',
        )
        const id = ++ids
        worker.held.set(id, job)
        held += 1
        assigned.push({ worker: name, id, job })
        // A set hands out in order of insertion: the others come first now.
        idle.delete(name)
        if (worker.held.size < worker.capacity) idle.add(name)
      }
      return assigned
    },
    done(name, id) {
      if (!release(name, id)) return false
      done += 1
      return true
    },
    failed(name, id, cause) {
      const job = release(name, id)
      return job && giveBack(job, cause)
    },
    gone(name, cause) {
      const jobs = [...(workers.get(name)?.held.values() ?? [])]
      held -= jobs.length
      workers.delete(name)
      idle.delete(name)
      return jobs.map((job) => giveBack(job, cause)).filter((job) => job !== undefined)
    },
  }
}
