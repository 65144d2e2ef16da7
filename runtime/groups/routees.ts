// The routees of one router: who is up, who is only between two lives, and the passing on of messages.
// What a router and a pool have in common.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import { type Infer, integer, ref, type Schema, text, union } from '../../protocol/schema.ts'
import type { Context, Down } from '../actor.ts'
import { backoffMs } from '../supervision.ts'
import type { Picker } from './picker.ts'

/** What routers understand beside the protocol of their routees; these types are theirs. */
export const RouterMessage = union({
  'router-add': { routee: ref<never>() },
  'router-remove': { routee: ref<never>() },
  /** To itself: has a routee that went down come back? */
  'router-look': { address: text, look: integer },
  /** To itself: it was looked for, and nothing to the contrary was heard. */
  'router-trust': { address: text, look: integer },
})
export type RouterMessage = Infer<typeof RouterMessage>

const BACKOFF = { delayMs: 50, delayMsMax: 5_000 }
/** Half a minute in all: longer than any supervisor waits between two lives. */
const LOOKS_MAX = 12
/** For the answer to a watch from another member. */
const TRUST_MS = 50

export interface Routee<Message> {
  readonly ref: Ref<Message>
  isUp: boolean
  /** Times it was looked for since it was last up; numbers what the router tells itself. */
  looks: number
}

export interface Routees<Message> {
  readonly all: ReadonlyMap<string, Routee<Message>>
  add(routee: Ref<Message>): void
  /** It gets nothing more; what it has it keeps. */
  remove(routee: Ref<never>): void
  /** To the routee that is picked among those that are up; refused, by name, where none is. */
  route(message: Message): void
  down(down: Down): void
  look(message: RouterMessage): void
}

export interface RouteesOptions<Message> {
  readonly picker: Picker<Message>
  /** Its own supervisor is gone, or has let it go: it is not looked for again. */
  readonly isGone?: (down: Down) => boolean
  /** Looked for in vain so often, a routee is given up; default 12, half a minute. */
  readonly looksMax?: number
}

export function createRoutees<Message>(
  // Routers are told more than their routees; what they route is Message.
  context: Context<Message | RouterMessage>,
  { picker, isGone = () => false, looksMax = LOOKS_MAX }: RouteesOptions<Message>,
): Routees<Message> {
  const { self, environment, log } = context
  const { random } = environment
  const all = new Map<string, Routee<Message>>()
  let up: readonly Ref<Message>[] = []
  let count = 0
  const load = (routee: Ref<never>): number | undefined => context.load(routee)
  const isHere = ({ address }: Ref<never>): boolean => address.member === self.address.member

  function refresh(): void {
    up = [...all.values()].filter(({ isUp }) => isUp).map((routee) => routee.ref)
  }

  function mark(routee: Routee<Message>, isUp: boolean): void {
    if (routee.isUp === isUp) return
    routee.isUp = isUp
    refresh()
  }

  function forget(address: string, why?: string): void {
    if (!all.delete(address)) return
    if (why !== undefined) log.warn(`routee ${address} is let go: ${why}`)
    refresh()
  }

  function lookLater(address: string, routee: Routee<Message>): void {
    routee.looks += 1
    const delayMs = backoffMs(routee.looks, BACKOFF, random)
    context.after(delayMs, { type: 'router-look', address, look: routee.looks })
  }

  /** Watches it, and takes it as up: at once where that can be seen, else when nothing else was heard. */
  function welcomeBack(address: string, routee: Routee<Message>): void {
    const { ref, looks } = routee
    if (!isHere(ref)) {
      context.watch(ref)
      context.after(TRUST_MS, { type: 'router-trust', address, look: looks })
    } else if (context.load(ref) !== undefined) {
      context.watch(ref)
      routee.looks = 0
      mark(routee, true)
    } else if (looks >= looksMax) {
      forget(address, `not back after ${looksMax} looks`)
    } else {
      lookLater(address, routee)
    }
  }

  function refuse(message: Message): void {
    const downs = all.size === 1 ? 'its one routee is down' : `all ${all.size} routees are down`
    const why = all.size === 0 ? 'has no routee' : `: ${downs}`
    context.refuse(message, 'unreachable', `router ${formatAddress(self.address)} ${why}`)
  }

  return {
    all,
    add(ref) {
      const address = formatAddress(ref.address)
      if (all.has(address)) return
      if (picker.needsLoad && !isHere(ref)) {
        throw new RangeError(`${picker.name} knows the load of its own member only, not ${address}`)
      }
      all.set(address, { ref, isUp: true, looks: 0 })
      context.watch(ref)
      refresh()
    },
    remove: ({ address }) => forget(formatAddress(address)),
    route(message) {
      while (up.length > 0) {
        const ref = up[picker.pick({ message, routees: up, count, random, load })]!
        // Seen to be down before its Down is read: the message need not be lost with it.
        const isDown = isHere(ref) && context.load(ref) === undefined
        const result = isDown ? 'stopped' : context.forward(ref, message)
        if (result === 'accepted') return void (count += 1)
        if (result === 'full') {
          return context.refuse(message, 'overloaded', `${formatAddress(ref.address)} is full`)
        }
        mark(all.get(formatAddress(ref.address))!, false)
      }
      refuse(message)
    },
    down(down) {
      const address = formatAddress(down.ref.address)
      const routee = all.get(address)
      if (!routee) return
      mark(routee, false)
      if (isGone(down)) return forget(address)
      if (isHere(routee.ref)) return welcomeBack(address, routee)
      if (routee.looks >= looksMax) return forget(address, `not back after ${looksMax} looks`)
      lookLater(address, routee)
    },
    look(message) {
      if (message.type !== 'router-look' && message.type !== 'router-trust') return
      const { address, look } = message
      const routee = all.get(address)
      if (!routee || routee.isUp || routee.looks !== look) return
      if (message.type === 'router-look') return welcomeBack(address, routee)
      routee.looks = 0
      mark(routee, true)
    },
  }
}

/** The messages of either; what a router's control knows comes first. */
export function withControl<Message, Control>(
  protocol: Schema<Message>,
  control: Schema<Control>,
  isControl: (type: unknown) => boolean,
): Schema<Message | Control> {
  return {
    decode(value, at, resolve) {
      const type = typeof value === 'object' && value !== null && 'type' in value && value.type
      return isControl(type)
        ? control.decode(value, at, resolve)
        : protocol.decode(value, at, resolve)
    },
  }
}
