// Named groups whose members come and go, on any member of the cluster. One actor keeps them all: it
// watches everyone who has joined, so that membership ends with the life that joined.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import { type Infer, list, ref, replyTo, text, union } from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, next } from '../actor.ts'

/** Fields of the message that a subscriber is told; its protocol names it `group`. */
export const groupNews = { name: text, refs: list(ref<never>(), 65_536) }

const GroupNews = union({ group: groupNews })
/** Everyone who is in the group now, oldest first. */
export type GroupNews = Infer<typeof GroupNews>

const GroupMessage = union({
  /** The actor is in until its life ends or it leaves; a later life joins again. Twice is once. */
  join: { name: text, ref: ref<never>(), replyTo: replyTo<'joined'>() },
  leave: { name: text, ref: ref<never>() },
  list: { name: text, replyTo: replyTo<readonly Ref<never>[]>() },
  /** Told at once who is in, and again after every change, until the subscriber's life ends. */
  subscribe: { name: text, subscriber: ref<GroupNews>(), replyTo: replyTo<'subscribed'>() },
  unsubscribe: { name: text, subscriber: ref<GroupNews>() },
  /** To itself: subscribers are behind. */
  publish: {},
})
export type GroupMessage = Infer<typeof GroupMessage>

/** Actors that have joined or subscribed; above it both are refused as `overloaded`. */
const ACTORS_MAX = 8_192
/** Memberships and subscriptions together. */
const ENTRIES_MAX = 65_536
/** A subscriber whose mailbox is full is told later, the newest only. */
const RETRY_MS = 500

interface Group {
  readonly members: Map<string, Ref<never>>
  readonly subscribers: Map<string, Subscriber>
}

interface Subscriber {
  readonly ref: Ref<GroupNews>
  isBehind: boolean
}

interface Registry {
  readonly groups: Map<string, Group>
  /** Addresses; each is watched once. */
  readonly watched: Set<string>
  entries: number
  isPublishing: boolean
  cancelRetry: () => void
}

/**
 * Start one, on the member that others join. Its groups end with its life: who must be found again after
 * that watches it and joins anew.
 */
export const groupRegistry: ActorDefinition<undefined, Registry, GroupMessage> = {
  kind: 'group registry',
  protocol: GroupMessage,
  config: { decode: () => undefined },
  start: () => ({
    groups: new Map(),
    watched: new Set(),
    entries: 0,
    isPublishing: false,
    cancelRetry: () => {},
  }),
  receive(registry, message, context) {
    switch (message.type) {
      case 'join':
        if (!admit(registry, message.ref, message, context)) return next(registry)
        join(registry, message, context)
        message.replyTo.tell('joined')
        return next(registry)
      case 'leave':
        remove(registry, message.name, formatAddress(message.ref.address), context)
        return next(registry)
      case 'list':
        message.replyTo.tell([...(registry.groups.get(message.name)?.members.values() ?? [])])
        return next(registry)
      case 'subscribe':
        if (!admit(registry, message.subscriber, message, context)) return next(registry)
        subscribe(registry, message, context)
        message.replyTo.tell('subscribed')
        return next(registry)
      case 'unsubscribe':
        unsubscribe(registry, message.name, formatAddress(message.subscriber.address))
        return next(registry)
      case 'publish':
        publish(registry, context)
        return next(registry)
    }
  },
  down(registry, { ref }, context) {
    const address = formatAddress(ref.address)
    registry.watched.delete(address)
    for (const name of [...registry.groups.keys()]) {
      unsubscribe(registry, name, address)
      remove(registry, name, address, context)
    }
    return next(registry)
  },
}

type RegistryContext = Context<GroupMessage>
type Message<Type> = Extract<GroupMessage, { readonly type: Type }>

/** False where it has been refused. */
function admit(
  { watched, entries }: Registry,
  ref: Ref<never>,
  message: GroupMessage,
  context: RegistryContext,
): boolean {
  const address = formatAddress(ref.address)
  if (entries >= ENTRIES_MAX) {
    context.refuse(message, 'overloaded', `${ENTRIES_MAX} memberships are the most`)
    return false
  }
  if (watched.has(address)) return true
  if (watched.size >= ACTORS_MAX) {
    context.refuse(message, 'overloaded', `${ACTORS_MAX} actors in groups are the most`)
    return false
  }
  watched.add(address)
  context.watch(ref)
  return true
}

function join(registry: Registry, { name, ref }: Message<'join'>, context: RegistryContext): void {
  const { members } = groupOf(registry, name)
  const address = formatAddress(ref.address)
  if (members.has(address)) return
  members.set(address, ref)
  registry.entries += 1
  changed(registry, name, context)
}

function subscribe(
  registry: Registry,
  { name, subscriber }: Message<'subscribe'>,
  context: RegistryContext,
): void {
  const { subscribers } = groupOf(registry, name)
  const address = formatAddress(subscriber.address)
  if (!subscribers.has(address)) registry.entries += 1
  subscribers.set(address, { ref: subscriber, isBehind: true })
  publishSoon(registry, context)
}

function unsubscribe(registry: Registry, name: string, address: string): void {
  if (registry.groups.get(name)?.subscribers.delete(address)) registry.entries -= 1
  forgetEmpty(registry, name)
}

function remove(registry: Registry, name: string, address: string, context: RegistryContext): void {
  if (registry.groups.get(name)?.members.delete(address)) {
    registry.entries -= 1
    changed(registry, name, context)
  }
  forgetEmpty(registry, name)
}

function groupOf({ groups }: Registry, name: string): Group {
  const group = groups.get(name) ?? { members: new Map(), subscribers: new Map() }
  groups.set(name, group)
  return group
}

function forgetEmpty({ groups }: Registry, name: string): void {
  const group = groups.get(name)
  if (group?.members.size === 0 && group.subscribers.size === 0) groups.delete(name)
}

function changed(registry: Registry, name: string, context: RegistryContext): void {
  for (const subscriber of registry.groups.get(name)?.subscribers.values() ?? []) {
    subscriber.isBehind = true
  }
  publishSoon(registry, context)
}

// Many changes in a row are one message.
function publishSoon(registry: Registry, context: RegistryContext): void {
  if (registry.isPublishing) return
  registry.isPublishing = true
  context.after(0, { type: 'publish' })
}

function publish(registry: Registry, context: RegistryContext): void {
  registry.isPublishing = false
  registry.cancelRetry()
  let isBehind = false
  for (const [name, { members, subscribers }] of registry.groups) {
    const refs = [...members.values()]
    for (const subscriber of subscribers.values()) {
      if (!subscriber.isBehind) continue
      // Another refusal than `full` is followed by its Down.
      subscriber.isBehind = subscriber.ref.tell({ type: 'group', name, refs }) === 'full'
      isBehind ||= subscriber.isBehind
    }
  }
  if (isBehind) registry.cancelRetry = context.after(RETRY_MS, { type: 'publish' })
}
