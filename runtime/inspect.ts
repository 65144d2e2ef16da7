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
  /** Whether someone wants the `routed` and `span` events: there is one per envelope. */
  readonly isTracing: boolean
  /** Of events since the start, by type. */
  readonly counts: Readonly<Record<InspectionEvent['type'], number>>
  emit(event: InspectionEvent): void
  /** The returned function ends the listening. */
  listen(listener: Listener, isTracing: boolean): () => void
}

export function createInspector(): Inspector {
  /** Listener -> whether it wants `routed` events. */
  const listeners = new Map<Listener, boolean>()
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
  return {
    counts,
    get isTracing() {
      return tracing > 0
    },
    emit(event) {
      counts[event.type] += 1
      if (listeners.size === 0) return
      const isDetail = event.type === 'routed' || event.type === 'span'
      for (const [listener, isTracing] of listeners) {
        if (isTracing || !isDetail) tell(listener, event)
      }
    },
    listen(listener, isTracing) {
      listeners.set(listener, isTracing)
      if (isTracing) tracing += 1
      return () => {
        if (listeners.delete(listener) && isTracing) tracing -= 1
      }
    },
  }
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
