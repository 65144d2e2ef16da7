// Work pulling: producers offer items to a queue, workers take as many at a time as they want. What
// passes between queue and workers is delivered, so neither a lost link nor a full mailbox loses an item.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import { assert } from '../../protocol/assert.ts'
import {
  type Infer,
  integer,
  optional,
  ref,
  replyTo,
  type Schema,
  struct,
  text,
  union,
} from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, type Down, next } from '../actor.ts'
import {
  type Backlog,
  type BacklogCounts,
  backlogLimits,
  createBacklog,
  type Job,
} from './backlog.ts'
import { type Deliverable, deliverable } from './deliverable.ts'
import { createDeliveries, type Deliveries } from './deliveries.ts'
import type { Delivery } from './envelope.ts'
import { outboxLimits } from './outbox.ts'

/** What a worker is delivered. */
export interface Work<Item> {
  readonly type: 'work'
  /** Names this try; goes back with its outcome. */
  readonly id: string
  readonly item: Item
}

export type WorkerRef<Item> = Ref<Delivery<Work<Item>>>

/** An item that nobody could do. */
export interface GivenUp<Item> {
  readonly type: 'given-up'
  readonly item: Item
  readonly tries: number
  /** Of the last try. */
  readonly cause: string
}

export type WorkQueueMessage<Item> =
  /** Answers 'full' above `itemsMax`. */
  | { readonly type: 'offer'; readonly item: Item; readonly replyTo: Ref<'accepted' | 'full'> }
  /** This life of the worker takes up to `capacity` items at a time, until it says otherwise. */
  | {
      readonly type: 'pull'
      readonly worker: WorkerRef<Item>
      readonly life: number
      readonly capacity: number
    }
  /** A try is over; with a cause it has failed. */
  | {
      readonly type: 'finished'
      readonly worker: Ref<never>
      readonly id: string
      readonly cause?: string
    }
  | { readonly type: 'count'; readonly replyTo: Ref<BacklogCounts> }

export type WorkQueueRef<Item> = Ref<WorkQueueMessage<Item> | Delivery<WorkQueueMessage<Item>>>

const WorkQueueConfig = struct({
  /** Items that wait or are worked on. Default 10,000. */
  itemsMax: optional(integer),
  /** Default 3. */
  triesMax: optional(integer),
  /** Told of every item that is given up; without it a warning is logged. */
  deadLetters: optional(ref<GivenUp<never>>()),
})
export type WorkQueueConfig = Infer<typeof WorkQueueConfig>

/** Items that one worker may hold. */
export const CAPACITY_MAX = 1_000

interface Worker<Item> {
  readonly ref: WorkerRef<Item>
  readonly life: number
  readonly deliveries: Deliveries<Work<Item>>
}

interface WorkQueue<Item> {
  readonly backlog: Backlog<Item>
  readonly workers: Map<string, Worker<Item>>
  readonly deadLetters: Ref<GivenUp<never>> | undefined
  hired: number
}

type QueueContext<Item> = Context<WorkQueueMessage<Item>>

/**
 * A queue of items. An accepted item is handed to one worker at a time until one of them has done it, or
 * `triesMax` tries have ended: it is done at least once as long as the queue lives. An item whose worker
 * dies, or fails, goes back to the front. The queue itself is in memory: its crash loses what it held.
 */
export function workQueue<Item>(
  item: Schema<Item>,
  { kind = 'work-queue' }: { readonly kind?: string } = {},
): ActorDefinition<
  WorkQueueConfig,
  Deliverable<WorkQueue<Item>, WorkQueueMessage<Item>>,
  WorkQueueMessage<Item> | Delivery<WorkQueueMessage<Item>>
> {
  return deliverable<WorkQueueConfig, WorkQueue<Item>, WorkQueueMessage<Item>>({
    kind,
    protocol: union({
      offer: { item, replyTo: replyTo<'accepted' | 'full'>() },
      pull: { worker: ref<never>(), life: integer, capacity: integer },
      finished: { worker: ref<never>(), id: text, cause: optional(text) },
      count: { replyTo: replyTo<BacklogCounts>() },
    }) as unknown as Schema<WorkQueueMessage<Item>>,
    config: WorkQueueConfig,
    start: ({ itemsMax, triesMax, deadLetters }) => ({
      backlog: createBacklog({
        itemsMax: itemsMax ?? backlogLimits.itemsMax,
        triesMax: triesMax ?? backlogLimits.triesMax,
      }),
      workers: new Map(),
      deadLetters,
      hired: 0,
    }),
    receive(queue, message, context) {
      switch (message.type) {
        case 'offer':
          message.replyTo.tell(queue.backlog.offer(message.item))
          break
        case 'pull':
          hire(queue, message, context)
          break
        case 'finished':
          finish(queue, message, context)
          break
        case 'count':
          message.replyTo.tell(queue.backlog.counts)
      }
      return handOut(queue, context)
    },
    down(queue, down, context) {
      dismiss(queue, down, context)
      return handOut(queue, context)
    },
  })
}

function hire<Item>(
  queue: WorkQueue<Item>,
  { worker, life, capacity }: Extract<WorkQueueMessage<Item>, { readonly type: 'pull' }>,
  context: QueueContext<Item>,
): void {
  const name = formatAddress(worker.address)
  const known = queue.workers.get(name)
  if (known && life < known.life) return
  if (known && life > known.life) letGo(queue, name, 'it has a successor', context)
  if (known?.life !== life) {
    const deliveries = createDeliveries<Work<Item>>(context, worker, {
      name: `courier-${++queue.hired}`,
      // What it holds, and what it has finished and not yet confirmed.
      bufferMax: CAPACITY_MAX + outboxLimits.windowMax,
    })
    queue.workers.set(name, { ref: worker, life, deliveries })
    context.watch(worker)
  }
  queue.backlog.pull(name, Math.min(capacity, CAPACITY_MAX))
}

function finish<Item>(
  queue: WorkQueue<Item>,
  { worker, id, cause }: Extract<WorkQueueMessage<Item>, { readonly type: 'finished' }>,
  context: QueueContext<Item>,
): void {
  const name = formatAddress(worker.address)
  const [life, number] = id.split('/').map(Number)
  // Handed out by a former life of the queue, which took the item with it.
  if (life !== context.incarnation || number === undefined) return
  if (cause === undefined) queue.backlog.done(name, number)
  else bury(queue, queue.backlog.failed(name, number, cause), context)
}

function dismiss<Item>(queue: WorkQueue<Item>, down: Down, context: QueueContext<Item>): void {
  const name = formatAddress(down.ref.address)
  const worker = queue.workers.get(name)
  if (!worker || (down.incarnation !== 0 && down.incarnation < worker.life)) return
  const { reason } = down
  letGo(queue, name, 'cause' in reason ? reason.cause : reason.type, context)
}

function letGo<Item>(
  queue: WorkQueue<Item>,
  name: string,
  cause: string,
  context: QueueContext<Item>,
): void {
  queue.workers.get(name)?.deliveries.close()
  queue.workers.delete(name)
  const because = `the worker ended: ${cause}`
  for (const job of queue.backlog.gone(name, because)) bury(queue, job, context)
}

function bury<Item>(
  { deadLetters }: WorkQueue<Item>,
  job: Job<Item> | undefined,
  { log }: QueueContext<Item>,
): void {
  if (!job) return
  const { item, tries, cause } = job
  const isTold = deadLetters?.tell({ type: 'given-up', item: item as never, tries, cause })
  if (isTold !== 'accepted') log.warn('an item was given up', { item, tries, cause })
}

function handOut<Item>(queue: WorkQueue<Item>, { incarnation, self }: QueueContext<Item>) {
  for (const { worker: name, id: number, job } of queue.backlog.assign()) {
    const worker = queue.workers.get(name)
    assert(worker !== undefined, 'items go to workers that pull')
    const id = `${incarnation}/${number}`
    // A worker that does not understand the item has failed; one that is let go holds it no more.
    worker.deliveries.deliver({ type: 'work', id, item: job.item }).catch((error: Error) => {
      self.tell({ type: 'finished', worker: worker.ref as Ref<never>, id, cause: error.message })
    })
  }
  return next(queue)
}
