// What one life of a deliverable actor remembers of its producers: how far each has been handled. One
// number per producer is enough, because a producer's deliveries are handled in order, without gaps.
import { assert } from '../../protocol/assert.ts'

/** How far the deliveries of one life of a producer have come. */
export interface Progress {
  readonly life: number
  /** A producer that was forgotten and comes again is another opening. */
  readonly opening: number
  /** Every delivery up to here has been handled, or its producer waits for it no more. */
  readonly handled: number
}

export interface Heading {
  readonly life: number
  readonly settled: number
  readonly receiver: number
  readonly opening: number
  readonly sequence: number
}

export type Verdict =
  | 'handle'
  /** It has been handled: confirmed again, and nothing else. */
  | 'duplicate'
  /** One before it did not arrive: it will come again, behind that one. */
  | 'early'
  /** Meant for a former life of the receiver, or of a producer that was forgotten or never probed. */
  | 'unknown-producer'
  /** The producer has a successor. */
  | 'former-life'
  /** No sequence number, or further ahead than the window allows. */
  | 'bad-sequence'

/**
 * INV-1 (once): a delivery is handled only directly behind `handled`, and only where its producer has heard of
 * this very opening in this very life. So what a producer knows to be settled is never handled after that,
 * whatever copies of it are still on their way.
 */
export function judgeDelivery(
  progress: Progress | undefined,
  { life, settled, receiver, opening, sequence }: Heading,
  { incarnation, windowMax }: { readonly incarnation: number; readonly windowMax: number },
): Verdict {
  if (progress && life < progress.life) return 'former-life'
  if (settled < 0 || sequence <= settled || sequence - settled > windowMax) return 'bad-sequence'
  if (progress?.life !== life) return 'unknown-producer'
  if (receiver !== incarnation || opening !== progress.opening) return 'unknown-producer'
  const handled = Math.max(progress.handled, settled)
  if (sequence <= handled) return 'duplicate'
  return sequence === handled + 1 ? 'handle' : 'early'
}

export interface InboxLimits {
  /** Deliveries of one producer that may be on their way. Default 50. */
  readonly windowMax: number
  /** Producers that are remembered; of more, the one that was silent longest is forgotten. Default 1,024. */
  readonly producersMax: number
}

export const inboxLimits: InboxLimits = { windowMax: 50, producersMax: 1_024 }

export interface Inbox {
  readonly producers: number
  judge(producer: string, heading: Heading): Verdict
  /** A probe opens a life of a producer, which may then deliver. */
  open(producer: string, life: number, settled: number): 'open' | 'former-life'
  /** Everything up to `sequence`; `held`: that one is put aside, and counts as done only once released. */
  handled(producer: string, sequence: number, held?: boolean): void
  release(producer: string, life: number, sequence: number): void
  /** What may be confirmed, now that deliveries up to `sent` were told; see `DeliveryAnswer`. */
  progress(producer: string, sent: number): Reported
  /** True once for each gap: the producer needs to be told of it only once. */
  reportsGap(producer: string): boolean
  close(producer: string, life: number): void
}

export interface Reported {
  readonly opening: number
  readonly through: number
  readonly sent: number
}

interface Entry extends Progress {
  /** The `handled` at which a gap has been reported. */
  readonly gapAt: number
  /** Deliveries that are put aside, in order: seldom any. */
  readonly held: readonly number[]
}

const NO_GAP = -1
const NONE: readonly number[] = []

export function createInbox(incarnation: number, limits: InboxLimits = inboxLimits): Inbox {
  // In the order of their last progress: the first is the one to be forgotten.
  const entries = new Map<string, Entry>()
  let openings = 0

  function remember(producer: string, entry: Entry): void {
    entries.delete(producer)
    entries.set(producer, entry)
    if (entries.size <= limits.producersMax) return
    for (const [oldest] of entries) {
      entries.delete(oldest)
      return
    }
  }

  return {
    get producers() {
      return entries.size
    },
    judge: (producer, heading) =>
      judgeDelivery(entries.get(producer), heading, { incarnation, windowMax: limits.windowMax }),
    open(producer, life, settled) {
      const known = entries.get(producer)
      if (known && life < known.life) return 'former-life'
      if (known?.life === life) {
        remember(producer, { ...known, handled: Math.max(known.handled, settled) })
      } else {
        const opening = ++openings
        remember(producer, { life, opening, handled: settled, gapAt: NO_GAP, held: NONE })
      }
      return 'open'
    },
    handled(producer, sequence, held = false) {
      const entry = entries.get(producer)
      assert(entry !== undefined, 'a delivery of an unknown producer is not handled')
      const after = held ? [...entry.held, sequence] : entry.held
      remember(producer, { ...entry, handled: sequence, gapAt: NO_GAP, held: after })
    },
    release(producer, life, sequence) {
      const entry = entries.get(producer)
      if (entry?.life !== life) return
      entries.set(producer, { ...entry, held: entry.held.filter((held) => held !== sequence) })
    },
    progress(producer, sent) {
      const { opening = 0, handled = 0, held = NONE } = entries.get(producer) ?? {}
      const through = held.length > 0 ? Math.min(...held) - 1 : handled
      return { opening, through, sent: sent > handled ? sent : through }
    },
    reportsGap(producer) {
      const entry = entries.get(producer)
      if (!entry || entry.gapAt === entry.handled) return false
      entries.set(producer, { ...entry, gapAt: entry.handled })
      return true
    },
    close(producer, life) {
      if (entries.get(producer)?.life === life) entries.delete(producer)
    },
  }
}
