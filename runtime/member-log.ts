// The last of what happened in a system, numbered: whoever asks now and then hears of everything once, or
// of how much it missed. Not of every envelope: those have a stream of their own.
import type { Clock } from './environment.ts'
import type { InspectionEvent } from './inspect.ts'
import type { System } from './system.ts'

export interface MemberLogEntry {
  /** From 1; one system counts through. */
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly at: number
  readonly event: Reported
}

export type Reported = Exclude<InspectionEvent, { type: 'routed' | 'span' }>

export interface MemberLogPart {
  readonly entries: readonly MemberLogEntry[]
  /** Ask after this the next time. */
  readonly next: number
  /** Entries that were gone before they were asked for. */
  readonly missed: number
}

export interface MemberLog {
  since(after: number): MemberLogPart
}

const ENTRIES_MAX = 256
/** A storm of dead letters or full mailboxes tells nothing new after the first of a while. */
const REPEATS_MS = 1_000
/** Targets whose last report is remembered. */
const TARGETS_MAX = 256

export function createMemberLog(system: System, entriesMax: number = ENTRIES_MAX): MemberLog {
  const { clock } = system.environment
  /** Entry number n lies at n % entriesMax. */
  const ring: MemberLogEntry[] = []
  let last = 0
  const isRepeat = repeats(clock)
  system.inspect((event) => {
    if (event.type === 'routed' || event.type === 'span' || isRepeat(event)) return
    last += 1
    ring[last % entriesMax] = { sequence: last, at: Math.round(clock.wallTime()), event }
  })
  return {
    since(after) {
      const first = Math.max(1, last - entriesMax + 1)
      const from = Math.max(after + 1, first)
      const entries: MemberLogEntry[] = []
      for (let sequence = from; sequence <= last; sequence++) {
        const entry = ring[sequence % entriesMax]
        if (entry) entries.push(entry)
      }
      return { entries, next: last, missed: Math.max(0, from - after - 1) }
    },
  }
}

function repeats(clock: Clock): (event: InspectionEvent) => boolean {
  const saidAt = new Map<string, number>()
  return (event) => {
    if (event.type !== 'full' && event.type !== 'dead-letter') return false
    const { member, path } = event.target
    const key = `${event.type} ${member}${path}`
    const now = clock.now()
    if (now - (saidAt.get(key) ?? Number.NEGATIVE_INFINITY) < REPEATS_MS) return true
    saidAt.delete(key)
    const [oldest] = saidAt.keys()
    if (saidAt.size >= TARGETS_MAX && oldest !== undefined) saidAt.delete(oldest)
    saidAt.set(key, now)
    return false
  }
}
