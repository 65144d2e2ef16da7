// The sending side: what a producer sends is held by a courier, a child of the producer, until the target
// has confirmed it. The courier ends with its producer's life.
import type { Ref } from '../../protocol/address.ts'
import type { ActorDefinition, Context, Down, SpawnOptions } from '../actor.ts'
import { next, stop } from '../actor.ts'
import type { Environment } from '../environment.ts'
import { type Backoff, backoffMs } from '../supervision.ts'
import type { System } from '../system.ts'
import { type Delivery, DeliveryAnswer } from './envelope.ts'
import { createOutbox, type Entry, type Outbox, type OutboxLimits, outboxLimits } from './outbox.ts'

export interface DeliveriesOptions extends Partial<OutboxLimits> {
  /** Of the courier below its producer. Default 'deliveries'; each target needs one of its own. */
  readonly name?: string
  /** Between probes, as long as nothing is confirmed. Default 50 ms, doubled up to 1 s. */
  readonly backoff?: Backoff
}

export interface Deliveries<Message> {
  /** Accepted and neither confirmed nor given up. */
  readonly pending: number
  /** Accepted: delivered at least once while this life of the producer lasts, in order. Never waits. */
  send(message: Message): 'accepted' | 'full' | 'stopped'
  /** Resolves when the message is confirmed; rejects with `DeliveryError`. */
  deliver(message: Message): Promise<void>
  /** What is pending is cancelled. */
  close(): void
}

/**
 * `full`: the buffer is. `given-up`: not confirmed within `giveUpMs`. `misunderstood`: the target's
 * protocol does not know the message. `refused`: the target knows a later life of this producer.
 * `cancelled`: the producer or its system ended, or the deliveries were closed.
 */
export type DeliveryFailure = 'full' | 'given-up' | 'misunderstood' | 'refused' | 'cancelled'

export class DeliveryError extends Error {
  override readonly name = 'DeliveryError'
  readonly failure: DeliveryFailure
  /** The message may have been handled, or may still be. */
  readonly uncertain: boolean
  readonly retryable: boolean
  constructor(failure: DeliveryFailure, detail: string) {
    super(`delivery ${failure}: ${detail}`)
    this.failure = failure
    this.uncertain = failure !== 'full' && failure !== 'misunderstood'
    this.retryable = failure === 'full' || failure === 'given-up'
  }
}

/** Whoever can have a courier: the context of an actor, or a system. */
export interface Producer {
  readonly environment: Environment
  spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M>
}

const defaultBackoff: Backoff = { delayMs: 50, delayMsMax: 1_000 }

/**
 * Delivers to a deliverable actor, on any member, across its restarts and those of its member. Throws
 * `StartError` where the producer has a child of that name. A target that never comes back is probed
 * until `giveUpMs`, or as long as the producer lives.
 */
export function createDeliveries<Message>(
  producer: Producer,
  target: Ref<Delivery<Message>>,
  options: DeliveriesOptions = {},
): Deliveries<Message> {
  const { name = 'deliveries', backoff = defaultBackoff, ...limits } = options
  const { clock } = producer.environment
  const outbox = createOutbox<Message>({ ...outboxLimits, ...limits })
  const route: Route<Message> = { target, outbox, backoff, isTold: false, isClosed: false }
  const courier = producer.spawn(courierOf<Message>(), route, { name, restart: 'temporary' })

  // One word is enough for all that was accepted since the last one; a courier whose mailbox is full
  // comes by anyway.
  function wake(): void {
    if (!route.isTold) route.isTold = courier.tell({ type: 'go' }) === 'accepted'
  }

  function accept(message: Message, settle: Entry<Message>['settle']) {
    if (route.isClosed) return 'stopped'
    const result = outbox.push({ message, acceptedAt: clock.now(), settle })
    if (result === 'accepted') wake()
    return result
  }

  return {
    get pending() {
      return outbox.pending
    },
    send: (message) => accept(message, undefined),
    deliver: (message) =>
      new Promise((resolve, reject) => {
        const settle = (failure?: Error): void => (failure ? reject(failure) : resolve())
        const result = accept(message, settle)
        if (result === 'full') reject(new DeliveryError('full', `${outbox.pending} are pending`))
        if (result === 'stopped')
          reject(new DeliveryError('cancelled', 'the deliveries are closed'))
      }),
    close() {
      if (route.isClosed) return
      route.isClosed = true
      wake()
    },
  }
}

export interface DeliverOptions {
  /** Until the message is given up. Default 30 s. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

let scripts = 0

/**
 * One delivery from a script. Resolves when it is confirmed; rejects with `DeliveryError`. Deliveries
 * that wait for each other arrive in order, others in any.
 */
export async function deliver<Message>(
  system: System,
  target: Ref<Delivery<Message>>,
  message: Message,
  { timeoutMs = 30_000, signal }: DeliverOptions = {},
): Promise<void> {
  if (signal?.aborted) throw new DeliveryError('cancelled', 'before it was sent')
  const name = `deliver-${++scripts}`
  const limits = { bufferMax: 1, giveUpMs: timeoutMs }
  const deliveries = createDeliveries(system, target, { name, ...limits })
  const close = (): void => deliveries.close()
  signal?.addEventListener('abort', close)
  try {
    await deliveries.deliver(message)
  } finally {
    signal?.removeEventListener('abort', close)
    close()
  }
}

/** What producer and courier share: both are of one process, and the producer only ever adds. */
interface Route<Message> {
  readonly target: Ref<Delivery<Message>>
  readonly outbox: Outbox<Message>
  readonly backoff: Backoff
  /** A 'go' is on its way to the courier. */
  isTold: boolean
  isClosed: boolean
}

/** `go` and `tick` never cross a link: the protocol does not know them. */
type CourierMessage = DeliveryAnswer | { readonly type: 'go' } | { readonly type: 'tick' }
type CourierContext = Context<CourierMessage>

interface Courier<Message> {
  readonly route: Route<Message>
  /** Probes in a row that brought nothing. */
  tries: number
  /** The life of the target whose Down is to come. */
  watched: number | undefined
  /** Something was confirmed since the timer was started. */
  hasProgress: boolean
  cancelTimer: (() => void) | undefined
}

function courierOf<Message>(): ActorDefinition<Route<Message>, Courier<Message>, CourierMessage> {
  return {
    kind: 'courier',
    protocol: DeliveryAnswer,
    config: { decode: (value) => value as Route<Message> },
    start: (route) => ({
      route,
      tries: 0,
      watched: undefined,
      hasProgress: false,
      cancelTimer: undefined,
    }),
    receive(courier, message, context) {
      const { route } = courier
      switch (message.type) {
        case 'go':
          route.isTold = false
          break
        case 'tick':
          courier.cancelTimer = undefined
          if (courier.hasProgress) courier.tries = 0
          else if (route.outbox.pending > 0) probe(courier, context)
          courier.hasProgress = false
          break
        default:
          if (message.life === context.incarnation) takeAnswer(courier, message, context)
      }
      if (route.isClosed) return stop()
      carryOn(courier, context)
      return next(courier)
    },
    down(courier, down, context) {
      takeDown(courier, down, context)
      carryOn(courier, context)
      return next(courier)
    },
    stopped({ route }, _reason, context) {
      route.isClosed = true
      const left = route.outbox.clear()
      const failure = new DeliveryError('cancelled', `${context.self.address.path} ended`)
      for (const { settle } of left) settle?.(failure)
      route.target.tell({ type: 'deliver-end', ...heading(route, context) })
    },
  }
}

function takeAnswer<Message>(
  courier: Courier<Message>,
  answer: DeliveryAnswer,
  context: CourierContext,
): void {
  const { outbox } = courier.route
  switch (answer.type) {
    case 'confirmed': {
      const { session } = outbox
      const confirmed = outbox.confirmed(answer)
      for (const { settle } of confirmed) settle?.()
      if (confirmed.length > 0 || outbox.session !== session) courier.hasProgress = true
      return watchReceiver(courier, context)
    }
    case 'unknown':
      // Of several deliveries that are answered so, the first is enough.
      if (!outbox.session) return
      outbox.lost()
      return probeAfresh(courier, context)
    case 'misunderstood': {
      const failure = new DeliveryError('misunderstood', answer.cause)
      const entry = outbox.misunderstood(answer.sequence)
      if (!entry) return
      context.log.warn('a message was not understood', { cause: answer.cause })
      return entry.settle?.(failure)
    }
    case 'refused':
      return end(courier, new DeliveryError('refused', answer.reason))
  }
}

function watchReceiver<Message>(courier: Courier<Message>, context: CourierContext): void {
  const { outbox, target } = courier.route
  const { session } = outbox
  if (!session || session.receiver === courier.watched) return
  courier.watched = session.receiver
  context.watch(target)
}

function takeDown<Message>(courier: Courier<Message>, down: Down, context: CourierContext): void {
  const { outbox } = courier.route
  const { session } = outbox
  // Of a life before the one that is known.
  if (session && down.incarnation !== 0 && down.incarnation < session.receiver) return
  courier.watched = undefined
  const isDead = down.reason.type === 'stopped' || down.reason.type === 'crashed'
  outbox.lost(isDead ? down.incarnation : undefined)
  if (outbox.pending > 0) probeAfresh(courier, context)
}

/** Sends what may be sent, gives up what is late, and sees to it that a timer runs while something waits. */
function carryOn<Message>(courier: Courier<Message>, context: CourierContext): void {
  const { outbox, target } = courier.route
  const now = context.environment.clock.now()
  for (const { settle } of outbox.expire(now)) {
    settle?.(new DeliveryError('given-up', 'it was not confirmed in time'))
  }
  if (outbox.pending === 0) {
    courier.cancelTimer?.()
    courier.cancelTimer = undefined
    courier.tries = 0
    return
  }
  const { receiver = 0, opening = 0 } = outbox.session ?? {}
  for (const { sequence, message, answer } of outbox.take()) {
    const delivery = { type: 'deliver', receiver, opening, sequence, message, answer } as const
    if (target.tell({ ...delivery, ...heading(courier.route, context) }) === 'accepted') continue
    outbox.unsend(sequence)
    break
  }
  if (courier.cancelTimer) return
  if (!outbox.session && courier.tries === 0) probe(courier, context)
  startTimer(courier, context)
}

function probe<Message>(courier: Courier<Message>, context: CourierContext): void {
  const { target, outbox } = courier.route
  const { sent } = outbox
  courier.tries += 1
  target.tell({ type: 'deliver-probe', sent, ...heading(courier.route, context) })
}

function probeAfresh<Message>(courier: Courier<Message>, context: CourierContext): void {
  courier.cancelTimer?.()
  courier.cancelTimer = undefined
  courier.tries = 0
  probe(courier, context)
}

function startTimer<Message>(courier: Courier<Message>, context: CourierContext): void {
  const { outbox, backoff } = courier.route
  const { clock, random } = context.environment
  const retryMs = backoffMs(Math.max(1, courier.tries), backoff, random)
  const ms = Math.max(0, Math.min(retryMs, outbox.expiresAt - clock.now()))
  courier.cancelTimer = context.after(ms, { type: 'tick' })
}

function heading<Message>({ outbox }: Route<Message>, { self, incarnation }: CourierContext) {
  return { producer: self, life: incarnation, settled: outbox.settled }
}

function end<Message>({ route }: Courier<Message>, failure: DeliveryError): void {
  route.isClosed = true
  for (const { settle } of route.outbox.clear()) settle?.(failure)
}
