// Which routee gets a message: pure choices, no state of their own.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import type { Random } from '../../protocol/random.ts'
import { createHashRing, type HashRing } from './hash-ring.ts'

/** What a picker may look at. */
export interface Choice<Message> {
  readonly message: Message
  /** At least one, all of them up; the same array until that changes. */
  readonly routees: readonly Ref<never>[]
  /** Messages routed before this one. */
  readonly count: number
  readonly random: Random
  /** Messages that wait for a routee plus asks it has not answered; undefined for another member's. */
  load(routee: Ref<never>): number | undefined
}

export interface Picker<in Message> {
  readonly name: string
  /** It compares loads, and a load is known of actors of the same member only: others are refused. */
  readonly needsLoad?: boolean
  /** Index of the one that gets the message. */
  pick(choice: Choice<Message>): number
}

/** One after the other. */
export function roundRobin(): Picker<unknown> {
  return { name: 'round robin', pick: ({ count, routees }) => count % routees.length }
}

/** By the router's own seeded chance. */
export function byChance(): Picker<unknown> {
  return { name: 'by chance', pick: ({ random, routees }) => random.below(routees.length) }
}

/**
 * The one with the smallest load, in turn among equals. For routees of the router's own member only:
 * replies go straight to the askers, so a router cannot count what another member's actor still owes.
 */
export function leastLoaded(): Picker<unknown> {
  return {
    name: 'least loaded',
    needsLoad: true,
    pick({ routees, count, load }) {
      let best = count % routees.length
      let least = load(routees[best]!) ?? 0
      for (let step = 1; step < routees.length && least > 0; step++) {
        const index = (count + step) % routees.length
        const other = load(routees[index]!) ?? 0
        if (other < least) {
          best = index
          least = other
        }
      }
      return best
    },
  }
}

export interface ConsistentHashOptions {
  /** Points of each routee on the ring; more share the keys more evenly. Default 128. */
  readonly points?: number
}

/**
 * Messages with the same key go to the same routee. When one comes or goes, about one in n keys moves;
 * the keys of a routee that is only restarting move, and come back with it.
 */
export function consistentHash<Message>(
  keyOf: (message: Message) => string,
  { points }: ConsistentHashOptions = {},
): Picker<Message> {
  // By the array, which is the same one until the routees change.
  const rings = new WeakMap<readonly Ref<never>[], HashRing>()
  const ringOf = (routees: readonly Ref<never>[]): HashRing => {
    const known = rings.get(routees)
    if (known) return known
    const names = routees.map(({ address }) => formatAddress(address))
    const ring = createHashRing(names, points)
    rings.set(routees, ring)
    return ring
  }
  return {
    name: 'consistent hash',
    pick: ({ routees, message }) => ringOf(routees).ownerOf(keyOf(message)),
  }
}
