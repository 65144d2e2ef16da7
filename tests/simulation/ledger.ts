// What happened in a simulation, as far as guarantees are concerned, and which of them were broken. Told
// by the actors and by the scenario; it sits outside of the simulated world and survives every death.
import { AskError } from '../../runtime/index.ts'

export interface Note {
  /** A life of the sender. */
  readonly sender: string
  readonly receiver: string
  readonly sequence: number
  /** How often the sender had seen the receiver's member lost when it sent this. */
  readonly losses: number
  /** The only life that may receive it; 0: any. */
  readonly intended: number
}

interface Asked {
  readonly id: number
  readonly asker: string
  readonly atMs: number
  readonly timeoutMs: number
  outcome: string | undefined
}

export interface Ledger {
  readonly violations: readonly string[]
  /** Counts of what has been checked: a run that checks nothing proves nothing. */
  readonly counts: Readonly<Record<string, number>>
  born(life: string): void
  ended(life: string): void
  /** All actors of that life of a member end with its process. */
  memberEnded(member: string): void
  isAlive(life: string): boolean
  nextSequence(sender: string, receiver: string): number
  /** The note with the last number was refused where it was sent. */
  takeBack(sender: string, receiver: string): void
  received(life: string, incarnation: number, note: Note): void
  /** A receiver said `full`: what comes next may have a gap before it. */
  refused(member: string): void
  ask(asker: string, timeoutMs: number, start: (id: number) => Promise<unknown>): void
  /** False where this life watches it already. */
  watch(life: string, target: string): boolean
  down(life: string, target: string, targetLife: string, reason: string): void
  /** When nothing more can happen: asks of living askers are settled, their watches of the dead ended. */
  close(): void
}

export function createLedger(now: () => number): Ledger {
  const violations: string[] = []
  const counts: Record<string, number> = {}
  const lives = new Set<string>()
  const sequences = new Map<string, number>()
  /** Receiving life and sending life -> the last note between them. */
  const lastNotes = new Map<string, Note>()
  const gapsAllowed = new Set<string>()
  const asks = new Map<number, Asked>()
  const watching = new Map<string, { readonly life: string; readonly target: string }>()
  let lastId = 0

  const violate = (what: string): void => void violations.push(`at ${Math.round(now())} ms ${what}`)
  const count = (what: string): void => {
    counts[what] = (counts[what] ?? 0) + 1
  }

  function settled(asked: Asked, outcome: string): void {
    if (asked.outcome) violate(`ask ${asked.id} settled twice: ${asked.outcome}, then ${outcome}`)
    asked.outcome = outcome
    count(`asks ${outcome}`)
  }

  return {
    violations,
    counts,
    born: (life) => void lives.add(life),
    ended: (life) => void lives.delete(life),
    memberEnded(member) {
      for (const life of [...lives]) if (life.startsWith(`${member}/`)) lives.delete(life)
    },
    isAlive: (life) => lives.has(life),
    nextSequence(sender, receiver) {
      const pair = `${sender} > ${receiver}`
      const sequence = (sequences.get(pair) ?? 0) + 1
      sequences.set(pair, sequence)
      return sequence
    },
    takeBack(sender, receiver) {
      const pair = `${sender} > ${receiver}`
      sequences.set(pair, (sequences.get(pair) ?? 1) - 1)
    },
    received(life, incarnation, note) {
      count('notes')
      if (note.intended !== 0 && note.intended !== incarnation) {
        violate(`${life} received a note for its life ${note.intended}`)
      }
      const pair = `${note.sender} > ${life}${note.intended === 0 ? '' : ' by incarnation'}`
      const last = lastNotes.get(pair)
      lastNotes.set(pair, note)
      const isGapAllowed = gapsAllowed.delete(pair)
      if (!last) return
      if (note.sequence <= last.sequence) {
        violate(`${pair}: note ${note.sequence} came after ${last.sequence}`)
      } else if (note.sequence > last.sequence + 1) {
        if (note.losses === last.losses && note.intended === 0 && !isGapAllowed) {
          violate(
            `${pair}: nothing was lost between ${last.sequence} and ${note.sequence}, says the sender`,
          )
        }
        count('gaps')
      }
    },
    refused(member) {
      for (const pair of lastNotes.keys()) {
        if (pair.includes(`> ${member}/`)) gapsAllowed.add(pair)
      }
    },
    ask(asker, timeoutMs, start) {
      const asked: Asked = { id: ++lastId, asker, atMs: now(), timeoutMs, outcome: undefined }
      asks.set(asked.id, asked)
      start(asked.id).then(
        (answer) => {
          if (answer !== asked.id) violate(`ask ${asked.id} got the reply to ${answer}`)
          settled(asked, 'answered')
        },
        (error: unknown) => {
          if (!(error instanceof AskError)) violate(`ask ${asked.id} failed with ${error}`)
          settled(asked, error instanceof AskError ? error.failure : 'error')
        },
      )
    },
    watch(life, target) {
      const watch = `${life} of ${target}`
      if (watching.has(watch)) return false
      watching.set(watch, { life, target })
      count('watches')
      return true
    },
    down(life, target, targetLife, reason) {
      count(`downs ${reason}`)
      if (!watching.delete(`${life} of ${target}`)) {
        violate(`${life} was told of ${target}'s end (${reason}) without a watch, or twice`)
      }
      if ((reason === 'crashed' || reason === 'stopped') && lives.has(targetLife)) {
        violate(`${life} was told that ${targetLife} has ${reason}, and it lives`)
      }
    },
    close() {
      for (const { id, asker, atMs, timeoutMs, outcome } of asks.values()) {
        if (outcome || !lives.has(asker)) continue
        violate(`ask ${id} of ${asker}, made at ${atMs} ms for ${timeoutMs} ms, never settled`)
      }
      const paths = new Set([...lives].map((life) => life.replace(/#.*/, '')))
      for (const [watch, { life, target }] of watching) {
        if (lives.has(life) && !paths.has(target)) violate(`no Down ended the watch ${watch}`)
      }
    },
  }
}
