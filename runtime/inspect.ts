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
  | {
      readonly type: 'log'
      readonly level: 'info' | 'warn'
      readonly path: string
      readonly message: string
      readonly fields: Readonly<Record<string, unknown>>
    }

export type Listener = (event: InspectionEvent) => void

export interface Inspector {
  /** Whether someone wants the `routed` events: there is one per envelope. */
  readonly isTracing: boolean
  emit(event: InspectionEvent): void
  /** The returned function ends the listening. */
  listen(listener: Listener, isTracing: boolean): () => void
}

export function createInspector(): Inspector {
  /** Listener -> whether it wants `routed` events. */
  const listeners = new Map<Listener, boolean>()
  let tracing = 0
  return {
    get isTracing() {
      return tracing > 0
    },
    emit(event) {
      for (const [listener, isTracing] of listeners) {
        if (isTracing || event.type !== 'routed') tell(listener, event)
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
