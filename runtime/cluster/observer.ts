// What the control process sees of every member: each is asked now and then, never twice at a time, and
// one that does not answer holds up nobody; it is shown as it was last seen.
import type { WorkerMessage } from '../worker/assignment.ts'
import { WORKER_NAME } from '../worker/assignment.ts'
import { createMemberLog, type MemberLogEntry } from '../member-log.ts'
import { type MemberReport, reportOf } from '../member-status.ts'
import type { System } from '../system.ts'

export interface MemberStatus extends Omit<MemberReport, 'log' | 'metrics'> {
  /** Absent before its first answer, and of members that are no worker processes. */
  readonly metrics?: MemberReport['metrics']
  /** It has not answered when it was last asked. */
  readonly isStale: boolean
  /** Milliseconds since 1970. */
  readonly seenAt: number
}

export interface Observation extends MemberLogEntry {
  readonly member: string
  readonly incarnation: number
  /** Entries of this member before this one that nobody will hear of. */
  readonly missed: number
}

export interface Observer {
  /** The own member first, then the others by name. */
  statuses(): readonly MemberStatus[]
  /** Once for each entry of each member's log, in order of that member. */
  onLog(listener: (observation: Observation) => void): () => void
  /** Asks everybody now; resolves when each has answered or not. */
  refresh(): Promise<void>
  start(): void
  stop(): void
}

export interface ObserverOptions {
  readonly system: System
  readonly everyMs?: number
  /** A member that takes longer is stale. */
  readonly answerMsMax?: number
  /** Everybody has answered, or not. */
  readonly onRefreshed?: () => void
}

interface Seen {
  readonly incarnation: number
  status: MemberStatus
  logged: number
  isAsked: boolean
}

const EVERY_MS = 1_000
const ANSWER_MS_MAX = 1_000

export function createObserver(options: ObserverOptions): Observer {
  const { system, everyMs = EVERY_MS, answerMsMax = ANSWER_MS_MAX } = options
  const { clock } = system.environment
  const log = createMemberLog(system)
  const seen = new Map<string, Seen>()
  const listeners = new Set<(observation: Observation) => void>()
  let stopClock: (() => void) | undefined

  function take(known: Seen, { log: part, ...report }: MemberReport): void {
    known.status = { ...report, isStale: false, seenAt: clock.wallTime() }
    let { missed } = part
    known.logged = part.next
    for (const entry of part.entries) {
      const { member, incarnation } = report
      for (const listener of listeners) listener({ ...entry, member, incarnation, missed })
      missed = 0
    }
  }

  /** A new life of a member begins its log afresh. */
  function knownAs(member: string, incarnation: number): Seen {
    const before = seen.get(member)
    if (before?.incarnation === incarnation) return before
    const status = { ...nothing, member, incarnation, isStale: true, seenAt: clock.wallTime() }
    const known = { incarnation, status, logged: 0, isAsked: false }
    seen.set(member, known)
    return known
  }

  async function look(member: string, incarnation: number): Promise<void> {
    const known = knownAs(member, incarnation)
    if (member === system.member) return take(known, reportOf(system, log, known.logged))
    if (known.isAsked) return
    known.isAsked = true
    try {
      const worker = system.ref<WorkerMessage>({ member, path: `/${WORKER_NAME}` })
      const question = { type: 'status', after: known.logged } as const
      take(known, await system.ask(worker, question, { timeoutMs: answerMsMax }))
    } catch {
      // Whatever it was: this is how the member looks from here.
      known.status = { ...known.status, isStale: true }
    } finally {
      known.isAsked = false
    }
  }

  async function refresh(): Promise<void> {
    const members = system.members()
    for (const name of seen.keys()) {
      if (!members.some(({ member }) => member === name)) seen.delete(name)
    }
    await Promise.all(members.map(({ member, incarnation }) => look(member, incarnation)))
    options.onRefreshed?.()
  }

  function tick(): void {
    stopClock = clock.after(everyMs, tick)
    void refresh()
  }

  return {
    statuses() {
      const others = [...seen.values()].map(({ status }) => status)
      return others.sort((a, b) => rank(a) - rank(b) || (a.member < b.member ? -1 : 1))
    },
    onLog(listener) {
      listeners.add(listener)
      return () => void listeners.delete(listener)
    },
    refresh,
    start() {
      if (!stopClock) tick()
    },
    stop() {
      stopClock?.()
      stopClock = undefined
    },
  }

  function rank({ member }: MemberStatus): number {
    return member === system.member ? 0 : 1
  }
}

const nothing = { actors: [], links: [] } as const
