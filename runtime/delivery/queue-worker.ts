// A worker of a work queue: it pulls, works, says what came of it, and pulls again from every life of the
// queue.
import type { Ref } from '../../protocol/address.ts'
import {
  type Infer,
  integer,
  optional,
  ref,
  type Schema,
  struct,
  text,
  union,
} from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, next } from '../actor.ts'
import { backoffMs } from '../supervision.ts'
import { type Deliverable, deliverable } from './deliverable.ts'
import { createDeliveries, type Deliveries } from './deliveries.ts'
import type { Delivery } from './envelope.ts'
import {
  CAPACITY_MAX,
  type Work,
  type WorkerRef,
  type WorkQueueMessage,
  type WorkQueueRef,
} from './work-queue.ts'

export interface QueueWorkerOptions<Item> {
  readonly kind: string
  readonly item: Schema<Item>
  /**
   * Does one item. What it throws, or rejects with, is a failed try: the worker lives on, the item goes
   * back to the queue. Up to `capacity` items are worked on at a time.
   */
  work(item: Item, context: WorkContext): Promise<void> | void
}

export type WorkContext = Pick<Context<never>, 'ask' | 'environment' | 'incarnation' | 'log'>

const QueueWorkerConfig = struct({
  queue: ref<never>(),
  /** Items at a time, 1 to 1,000. Default 1. */
  capacity: optional(integer),
})
export type QueueWorkerConfig = Infer<typeof QueueWorkerConfig>

/** `worked`, `pulled` and `watch` are for itself: the protocol does not know them. */
export type QueueWorkerMessage<Item> =
  | Work<Item>
  | { readonly type: 'worked'; readonly id: string; readonly cause: string | undefined }
  | { readonly type: 'pulled' }
  | { readonly type: 'watch' }

interface QueueWorker<Item> {
  readonly queue: WorkQueueRef<Item>
  readonly capacity: number
  readonly deliveries: Deliveries<WorkQueueMessage<Item>>
  /** A pull is on its way; `isStale`: perhaps to a life of the queue that has ended. */
  isPulling: boolean
  isStale: boolean
  /** Times in a row that the queue was not there. */
  tries: number
}

type WorkerContext<Item> = Context<QueueWorkerMessage<Item>>

const backoff = { delayMs: 50, delayMsMax: 1_000 }

/** An actor that works for the `workQueue` of its config, wherever that is, until it is stopped. */
export function queueWorker<Item>({
  kind,
  item,
  work,
}: QueueWorkerOptions<Item>): ActorDefinition<
  QueueWorkerConfig,
  Deliverable<QueueWorker<Item>, QueueWorkerMessage<Item>>,
  QueueWorkerMessage<Item> | Delivery<QueueWorkerMessage<Item>>
> {
  return deliverable<QueueWorkerConfig, QueueWorker<Item>, QueueWorkerMessage<Item>>({
    kind,
    protocol: union({ work: { id: text, item } }) as unknown as Schema<QueueWorkerMessage<Item>>,
    config: QueueWorkerConfig,
    start(config, context) {
      const { capacity = 1 } = config
      const isSane = capacity >= 1 && capacity <= CAPACITY_MAX
      if (!isSane) throw new RangeError(`a capacity of 1 to ${CAPACITY_MAX}, not ${capacity}`)
      const queue = config.queue as WorkQueueRef<Item>
      const deliveries = createDeliveries<WorkQueueMessage<Item>>(context, queue, {
        name: 'queue',
        // Outcomes of what it holds, of what it held before, and a pull: never full.
        bufferMax: 3 * CAPACITY_MAX,
      })
      const worker = { queue, capacity, deliveries, isPulling: false, isStale: false, tries: 0 }
      watchAndPull(worker, context)
      return worker
    },
    receive(worker, message, context) {
      switch (message.type) {
        case 'work': {
          const done = new Promise<void>((resolve) => resolve(work(message.item, context)))
          context.pipe(done, (outcome) => {
            const cause = outcome.ok ? undefined : `${outcome.error.name}: ${outcome.error.message}`
            return { type: 'worked', id: message.id, cause }
          })
          break
        }
        case 'worked': {
          const { id, cause } = message
          const own = context.self as Ref<never>
          const finished = {
            type: 'finished',
            worker: own,
            id,
            ...(cause !== undefined && { cause }),
          }
          worker.deliveries.send(finished as WorkQueueMessage<Item>)
          break
        }
        case 'pulled':
          worker.isPulling = false
          worker.tries = 0
          if (worker.isStale) pull(worker, context)
          break
        case 'watch':
          watchAndPull(worker, context)
      }
      return next(worker)
    },
    down(worker, _down, context) {
      worker.tries += 1
      const delayMs = backoffMs(worker.tries, backoff, context.environment.random)
      context.after(delayMs, { type: 'watch' })
      return next(worker)
    },
  })
}

// In this order: a life of the queue that is pulled from is watched, or has a successor that will be.
function watchAndPull<Item>(worker: QueueWorker<Item>, context: WorkerContext<Item>): void {
  context.watch(worker.queue as Ref<never>)
  pull(worker, context)
}

function pull<Item>(worker: QueueWorker<Item>, context: WorkerContext<Item>): void {
  if (worker.isPulling) {
    worker.isStale = true
    return
  }
  worker.isPulling = true
  worker.isStale = false
  const { incarnation: life } = context
  const { deliveries, capacity } = worker
  const self = context.self as Ref<never> as WorkerRef<Item>
  const pulled = deliveries.deliver({ type: 'pull', worker: self, life, capacity })
  context.pipe(pulled, () => ({ type: 'pulled' }))
}
