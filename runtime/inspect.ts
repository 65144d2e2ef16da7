// The one stream in which everything that happens in a system can be seen. Metrics, logs and
// dashboards listen here and nowhere else.
import type { Address } from '../protocol/address.ts'
import type { Envelope } from '../protocol/envelope.ts'

export type InspectionEvent =
  | {
      readonly type: 'spawned'
      readonly path: string
      readonly incarnation: number
      readonly kind: string
    }
  | { readonly type: 'routed'; readonly envelope: Envelope }
  | {
      readonly type: 'crashed'
      readonly path: string
      readonly incarnation: number
      readonly cause: string
      readonly stack?: string
    }
  | { readonly type: 'restarted'; readonly path: string; readonly incarnation: number }
  | { readonly type: 'escalated'; readonly path: string; readonly cause: string }
  | { readonly type: 'stopped'; readonly path: string; readonly incarnation: number }
  | { readonly type: 'full'; readonly target: Address }
  | { readonly type: 'dead-letter'; readonly target: Address; readonly cause: string }
  | { readonly type: 'member-joined'; readonly member: string; readonly incarnation: number }
  | {
      readonly type: 'member-lost'
      readonly member: string
      readonly incarnation: number
      readonly cause: string
    }
  | { readonly type: 'peer-refused'; readonly cause: string }
  /** One turn of a sampled trace. Only for those who asked for `routed` events. */
  | {
      readonly type: 'span'
      /** W3C `traceparent` of this turn, and of what sent the message. */
      readonly trace: string
      readonly parent: string
      readonly path: string
      readonly kind: string
      /** Type of the message. */
      readonly message: string
      /** Of its begin, in milliseconds since 1970. */
      readonly wallTime: number
      readonly durationMs: number
    }
  | {
      readonly type: 'log'
      readonly level: 'info' | 'warn'
      readonly path: string
      readonly trace?: string
      readonly message: string
      readonly fields: Readonly<Record<string, unknown>>
    }

export type Listener = (event: InspectionEvent) => void

export interface Inspector {
  /** Whether someone wants the `routed` events: there is one per envelope. */
  readonly isTracing: boolean
  /** Whether someone wants the `span` events: there is one per turn of a sampled trace. */
  readonly isSpanning: boolean
  /** Whether a new trace is to be sampled: one in so many calls. */
  isSampleDue(): boolean
  /** Of events since the start, by type. */
  readonly counts: Readonly<Record<InspectionEvent['type'], number>>
  emit(event: InspectionEvent): void
  /** The returned function ends the listening. */
  listen(listener: Listener, wanted: Wanted): () => void
}

/** `spans`: of so many new traces one is sampled, at least for those who ask for the most. */
export interface Wanted {
  readonly routed?: boolean
  readonly spans?: number
}

export function createInspector(): Inspector {
  const listeners = new Map<Listener, Wanted>()
  const counts = {
    spawned: 0,
    routed: 0,
    crashed: 0,
    restarted: 0,
    escalated: 0,
    stopped: 0,
    full: 0,
    'dead-letter': 0,
    'member-joined': 0,
    'member-lost': 0,
    'peer-refused': 0,
    span: 0,
    log: 0,
  }
  let tracing = 0
  /** One in so many new traces is sampled; 0: none. */
  let every = 0
  let begun = 0

  function count(): void {
    const all = [...listeners.values()]
    tracing = all.filter(({ routed = false }) => routed).length
    const wanted = all.flatMap(({ spans = 0 }) => (spans > 0 ? [spans] : []))
    every = wanted.length === 0 ? 0 : Math.min(...wanted)
  }

  return {
    counts,
    get isTracing() {
      return tracing > 0
    },
    get isSpanning() {
      return tracing > 0 || every > 0
    },
    isSampleDue() {
      if (every === 0) return false
      return begun++ % every === 0
    },
    emit(event) {
      counts[event.type] += 1
      if (listeners.size === 0) return
      for (const [listener, wanted] of listeners) {
        if (isWanted(event, wanted)) tell(listener, event)
      }
    },
    listen(listener, wanted) {
      listeners.set(listener, wanted)
      count()
      return () => {
        listeners.delete(listener)
        count()
      }
    },
  }
}

function isWanted({ type }: InspectionEvent, { routed = false, spans = 0 }: Wanted): boolean {
  if (type === 'routed') return routed
  return type !== 'span' || routed || spans > 0
}

// A listener's mistake is not the actor's: it surfaces as an uncaught error of the process.
function tell(listener: Listener, event: InspectionEvent): void {
  try {
    listener(event)
  } catch (error) {
    queueMicrotask(() => {
      throw error
    })
  }
}
