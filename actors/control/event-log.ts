// What happened, numbered: the last some thousand events, each encoded once, and streams of them. A reader
// is nothing but a place in the ring, so a slow one costs no memory; what it missed it is told.
import type { Event } from '../../protocol/control.ts'
import type { Clock } from '../../runtime/index.ts'

export interface EventLog {
  /** Number of the newest event. They rise, also across lives of the control plane. */
  readonly last: number
  /** Events since the start. */
  readonly total: number
  readonly readers: number
  /** `at` and `id` are given here. */
  put(event: EventBody): void
  /** Kept events after a number, oldest first. */
  since(after: number): readonly Event[]
  /** Server-sent events after a number; ends with its reader. Undefined where there are too many readers. */
  stream(from: StreamOptions): ReadableStream<Uint8Array> | undefined
  /** Ends every stream. */
  close(): void
}

export type EventBody = { readonly type: string } & Readonly<Record<string, unknown>>

export interface StreamOptions {
  readonly after: number
  readonly types?: ReadonlySet<string>
}

export interface EventLogOptions {
  readonly clock: Clock
  readonly eventsMax?: number
  readonly readersMax?: number
}

const EVENTS_MAX = 4_096
const READERS_MAX = 256
/** Of one write to a reader. */
const CHUNK_BYTES_MAX = 32 << 10
/** Readers are woken so much after an event: what comes meanwhile goes along. */
const WAKE_MS = 20
/** A comment now and then: whoever is gone is noticed, and nothing in between closes the connection. */
const KEEP_ALIVE_MS = 15_000

interface Kept {
  readonly event: Event
  bytes?: Uint8Array
}

export function createEventLog(options: EventLogOptions): EventLog {
  const { clock, eventsMax = EVENTS_MAX, readersMax = READERS_MAX } = options
  /** Event number n lies at n % eventsMax. */
  const ring: Kept[] = []
  // Numbers rise across the lives of a control plane too: who resumes in the next one misses nothing of it.
  const base = Math.floor(clock.wallTime())
  let last = base
  let isWaking = false
  let isClosed = false
  let readers = 0
  const waiting = new Set<() => void>()

  const first = (): number => Math.max(base + 1, last - eventsMax + 1)

  function wakeSoon(): void {
    if (isWaking || waiting.size === 0) return
    isWaking = true
    clock.after(WAKE_MS, () => {
      isWaking = false
      wakeAll()
    })
  }

  function wakeAll(): void {
    const woken = [...waiting]
    waiting.clear()
    for (const wake of woken) wake()
  }

  /** The next bytes for a reader, and its new place. */
  function chunkAfter(
    place: number,
    types: StreamOptions['types'],
  ): { readonly parts: readonly Uint8Array[]; readonly place: number } {
    const parts: Uint8Array[] = []
    let bytes = 0
    let at = place
    if (at + 1 < first()) {
      parts.push(missed(at + 1, first() - 1))
      at = first() - 1
    }
    while (at < last && bytes < CHUNK_BYTES_MAX) {
      at += 1
      const kept = ring[at % eventsMax]
      if (!kept || (types && !types.has(kept.event.type))) continue
      kept.bytes ??= encodeEvent(kept.event)
      parts.push(kept.bytes)
      bytes += kept.bytes.length
    }
    return { parts, place: at }
  }

  function nextEvent(): Promise<'event' | 'quiet'> {
    return new Promise((resolve) => {
      const wake = (): void => {
        stopClock()
        resolve('event')
      }
      const stopClock = clock.after(KEEP_ALIVE_MS, () => {
        waiting.delete(wake)
        resolve('quiet')
      })
      waiting.add(wake)
    })
  }

  return {
    get last() {
      return last
    },
    get total() {
      return last - base
    },
    get readers() {
      return readers
    },
    put(body) {
      last += 1
      ring[last % eventsMax] = { event: { id: last, at: Math.round(clock.wallTime()), ...body } }
      wakeSoon()
    },
    since(after) {
      const events: Event[] = []
      for (let id = Math.max(after + 1, first()); id <= last; id++) {
        const kept = ring[id % eventsMax]
        if (kept) events.push(kept.event)
      }
      return events
    },
    stream({ after, types }) {
      if (readers >= readersMax || isClosed) return undefined
      readers += 1
      // What is not of this life of the log is of one before, or of a clock that was set back.
      let place = after > last ? base : Math.max(base, after)
      let isCancelled = false
      const end = (): void => {
        if (!isCancelled) readers -= 1
        isCancelled = true
      }
      return new ReadableStream<Uint8Array>(
        {
          start: (controller) => controller.enqueue(encoder.encode(': events\n\n')),
          // Called when the reader has room, and not again before this resolves: a slow one waits here.
          async pull(controller) {
            while (!isCancelled) {
              const chunk = chunkAfter(place, types)
              place = chunk.place
              if (chunk.parts.length > 0) return controller.enqueue(joined(chunk.parts))
              if (place < last) continue
              if (isClosed) {
                end()
                return controller.close()
              }
              const heard = await nextEvent()
              if (heard === 'quiet') return controller.enqueue(encoder.encode(':\n\n'))
            }
          },
          cancel: end,
        },
        { highWaterMark: 1 },
      )
    },
    close() {
      isClosed = true
      wakeAll()
    },
  }
}

const encoder = new TextEncoder()

function encodeEvent(event: Event): Uint8Array {
  const { id, type } = event
  return encoder.encode(`id: ${id}\nevent: ${oneLine(type)}\ndata: ${JSON.stringify(event)}\n\n`)
}

/** Its number is that of the last event that is gone: whoever resumes there misses nothing more. */
function missed(from: number, to: number): Uint8Array {
  const data = { type: 'missed', from, to, count: to - from + 1 }
  return encoder.encode(`id: ${to}\nevent: missed\ndata: ${JSON.stringify(data)}\n\n`)
}

function oneLine(text: string): string {
  return text.replace(/[\r\n]/g, ' ')
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const [only] = parts
  if (parts.length === 1 && only) return only
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}
