// What holds on the way from one member to another: latency, speed, and the faults set on it. A table and
// its look-ups; what they do to packets is `network.ts`'s affair.
import { assert } from '../../protocol/assert.ts'
import { type Random, randomFor } from '../../protocol/random.ts'

/** A member's name, or every one of them. */
export const EVERYONE = '*'
const RULES_MAX = 10_000

export interface Delay {
  readonly latencyMs: number
  /** Up to so much more, drawn by chance for each packet. */
  readonly jitterMs: number
}

export interface Paths {
  readonly clogged: Rules<true>
  readonly parted: Rules<true>
  /** The chance that an attempt to connect is refused. */
  readonly refusing: Rules<number>
  readonly bytesPerSecond: Rules<number>
  readonly delays: Rules<Delay>
  /** Forgets every rule that lies within the named paths, in both directions. */
  heal(a: string, b: string): void
  delayMs(from: string, to: string): number
  chance(from: string, to: string): Random
}

export function createPaths(seed: string | number, usual: Delay): Paths {
  const rules = {
    clogged: new Rules<true>(),
    parted: new Rules<true>(),
    refusing: new Rules<number>(),
    bytesPerSecond: new Rules<number>(),
    delays: new Rules<Delay>(),
  }
  /** A stream of chance for each path: what happens on one does not change another. */
  const streams = new Map<string, Random>()

  function chance(from: string, to: string): Random {
    const path = pathOf(from, to)
    const stream = streams.get(path) ?? randomFor(seed, 'path', path)
    streams.set(path, stream)
    return stream
  }

  return {
    ...rules,
    chance,
    heal(a, b) {
      for (const each of Object.values(rules)) each.forget(a, b)
    },
    delayMs(from, to) {
      const { latencyMs, jitterMs } = rules.delays.get(from, to) ?? usual
      return jitterMs > 0 ? latencyMs + jitterMs * chance(from, to).next() : latencyMs
    },
  }
}

/** The rule that names a path most closely holds. */
export class Rules<T> {
  readonly #rules = new Map<string, T>()

  get(from: string, to: string): T | undefined {
    const rules = this.#rules
    if (rules.size === 0) return undefined
    return (
      rules.get(pathOf(from, to)) ??
      rules.get(pathOf(from, EVERYONE)) ??
      rules.get(pathOf(EVERYONE, to)) ??
      rules.get(pathOf(EVERYONE, EVERYONE))
    )
  }

  set(a: string, b: string, rule: T, isOneWay: boolean): void {
    assert(this.#rules.size < RULES_MAX, `at most ${RULES_MAX} faults of a kind`)
    this.#rules.set(pathOf(a, b), rule)
    if (!isOneWay) this.#rules.set(pathOf(b, a), rule)
  }

  forget(a: string, b: string): void {
    for (const path of [...this.#rules.keys()]) {
      const [from = '', to = ''] = path.split('>')
      if (isWithin(from, to, a, b) || isWithin(to, from, a, b)) this.#rules.delete(path)
    }
  }
}

export function isWithin(from: string, to: string, a: string, b: string): boolean {
  return (a === EVERYONE || from === a) && (b === EVERYONE || to === b)
}

const pathOf = (from: string, to: string): string => `${from}>${to}`
