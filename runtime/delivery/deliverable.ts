// The receiving side: an actor whose messages may also come as deliveries, each handled at most once in
// a life of the actor and confirmed after its turn.
import { formatAddress } from '../../protocol/address.ts'
import { type ActorDefinition, type Behavior, type Context, type Next, next } from '../actor.ts'
import { type Delivery, deliveryOf, isDelivery, Misunderstood } from './envelope.ts'
import { createInbox, type Inbox, type InboxLimits, inboxLimits } from './inbox.ts'

/** The state of a deliverable actor: its own, and how far its producers have come. */
export interface Deliverable<State, Message> {
  state: State
  /** What answers now: the definition, or what it became. */
  behavior: Behavior<State, Message>
  readonly inbox: Inbox
  readonly windowMax: number
  readonly turns: Turns<Message>
}

/** Which delivery is being handled, and which ones were put aside meanwhile. */
interface Turns<Message> {
  /** What the actor itself gets: it notes what is stashed. */
  readonly context: Context<Message>
  delivery: Deliver<Message> | undefined
  /** They come out of the stash as the very same objects. */
  readonly stashed: Set<Deliver<Message>>
}

type Deliver<Message> = Extract<Delivery<Message>, { readonly type: 'deliver' }>
type Probe<Message> = Extract<Delivery<Message>, { readonly type: 'deliver-probe' }>

/**
 * The same actor, to which others may also deliver (`createDeliveries`, `deliver`). Its own protocol has
 * no message of type 'deliver', 'deliver-probe' or 'deliver-end'.
 *
 * A delivery is confirmed when its turn has returned: a turn that throws confirms nothing, and the next
 * life gets the message again. What a turn has piped or stashed is another matter: the former is not
 * waited for, the latter is confirmed once it comes out of the stash and is handled.
 *
 * One life handles the deliveries of a producer in order and each once. So a message is handled twice
 * only when this actor died, or forgot the producer (`producersMax`), after its turn and before its
 * producer heard of it: at most `windowMax` messages of each producer, per death.
 */
export function deliverable<Config, State, Message>(
  definition: ActorDefinition<Config, State, Message>,
  limits: Partial<InboxLimits> = {},
): ActorDefinition<Config, Deliverable<State, Message>, Message | Delivery<Message>> {
  const given = { ...inboxLimits, ...limits }
  return {
    ...definition,
    protocol: deliveryOf(definition.protocol),
    start(config, context) {
      const turns = noteStash<Message>(context)
      return {
        state: definition.start(config, turns.context),
        behavior: definition,
        inbox: createInbox(context.incarnation, given),
        windowMax: given.windowMax,
        turns,
      }
    },
    restarted(self, ended) {
      const { restarted } = definition
      if (restarted) self.state = restarted.call(definition, self.state, ended, self.turns.context)
      return self
    },
    receive(self, message) {
      if (!isDelivery<Message>(message)) {
        return follow(self, self.behavior.receive(self.state, message, self.turns.context))
      }
      switch (message.type) {
        case 'deliver':
          return receiveDelivery(self, message)
        case 'deliver-probe':
          return answerProbe(self, message)
        case 'deliver-end':
          self.inbox.close(formatAddress(message.producer.address), message.life)
          return next(self)
      }
    },
    down(self, down) {
      const result = self.behavior.down?.(self.state, down, self.turns.context)
      return result ? follow(self, result) : next(self)
    },
    stopped(self, reason) {
      definition.stopped?.(self.state, reason, self.turns.context)
    },
  }
}

function receiveDelivery<State, Message>(
  self: Deliverable<State, Message>,
  delivery: Deliver<Message>,
): Next<Deliverable<State, Message>> {
  const { inbox, turns } = self
  const { producer, life, sequence } = delivery
  const key = formatAddress(producer.address)
  if (turns.stashed.delete(delivery)) return handleStashed(self, delivery)
  const verdict = inbox.judge(key, delivery)
  switch (verdict) {
    case 'handle': {
      if (delivery.message instanceof Misunderstood) {
        const { cause } = delivery.message
        producer.tell({ type: 'misunderstood', life, sequence, cause })
        break
      }
      const result = handle(self, delivery)
      inbox.handled(key, sequence, turns.stashed.has(delivery))
      if (delivery.answer) answer(self, delivery, sequence)
      return result
    }
    case 'duplicate':
      if (delivery.answer) answer(self, delivery, sequence)
      break
    case 'early':
      if (inbox.reportsGap(key)) answer(self, delivery, sequence)
      break
    case 'unknown-producer':
      producer.tell({ type: 'unknown', life })
      break
    case 'former-life':
    case 'bad-sequence':
      refuse(self, delivery, verdict)
  }
  return next(self)
}

function handleStashed<State, Message>(
  self: Deliverable<State, Message>,
  delivery: Deliver<Message>,
): Next<Deliverable<State, Message>> {
  const result = handle(self, delivery)
  if (self.turns.stashed.has(delivery)) return result
  const { producer, life, sequence } = delivery
  self.inbox.release(formatAddress(producer.address), life, sequence)
  answer(self, delivery, sequence)
  return result
}

function answerProbe<State, Message>(
  self: Deliverable<State, Message>,
  probe: Probe<Message>,
): Next<Deliverable<State, Message>> {
  const { life, settled, sent } = probe
  const key = formatAddress(probe.producer.address)
  if (settled < 0 || sent < settled) refuse(self, probe, 'bad-sequence')
  else if (self.inbox.open(key, life, settled) === 'open') answer(self, probe, sent)
  else refuse(self, probe, 'former-life')
  return next(self)
}

function answer<State, Message>(
  { inbox, windowMax: window, turns }: Deliverable<State, Message>,
  { producer, life }: Delivery<Message>,
  sent: number,
): void {
  const { incarnation: receiver } = turns.context
  const progress = inbox.progress(formatAddress(producer.address), sent)
  producer.tell({ type: 'confirmed', life, receiver, window, ...progress })
}

function refuse<State, Message>(
  { turns }: Deliverable<State, Message>,
  { producer, life }: Delivery<Message>,
  reason: 'former-life' | 'bad-sequence',
): void {
  const fields = { producer: formatAddress(producer.address), life, reason }
  turns.context.log.warn('a delivery was refused', fields)
  producer.tell({ type: 'refused', life, reason })
}

/** A turn of the actor itself. Throws what it throws, and where it returns no result. */
function handle<State, Message>(
  self: Deliverable<State, Message>,
  delivery: Deliver<Message>,
): Next<Deliverable<State, Message>> {
  const { behavior, state, turns } = self
  turns.delivery = delivery
  try {
    return follow(self, behavior.receive(state, delivery.message, turns.context))
  } finally {
    turns.delivery = undefined
  }
}

function follow<State, Message>(
  self: Deliverable<State, Message>,
  result: Next<State, Message>,
): Next<Deliverable<State, Message>> {
  // A turn without a result has not returned: nothing of it may be confirmed.
  if (!isResult(result))
    throw new TypeError('receive must return next(state), become(...) or stop()')
  if (result.type === 'stop') return result
  if (result.type === 'become') self.behavior = result.behavior as Behavior<State, Message>
  self.state = result.state as State
  return next(self)
}

function isResult(value: unknown): boolean {
  const type =
    typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  return type === 'continue' || type === 'stop' || type === 'become'
}

function noteStash<Message>(context: Context<Message>): Turns<Message> {
  const turns: Turns<Message> = {
    context: new Proxy(context, {
      get(target, name) {
        const found: unknown = Reflect.get(target, name, target)
        if (name !== 'stash' || typeof found !== 'function') return found
        return () => {
          const result: unknown = found()
          if (result === 'accepted' && turns.delivery) turns.stashed.add(turns.delivery)
          return result
        }
      },
    }),
    delivery: undefined,
    stashed: new Set(),
  }
  return turns
}
