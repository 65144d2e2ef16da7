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
  /** Read before an event that is costly to build: true only when someone listens. */
  readonly isWatched: boolean
  emit(event: InspectionEvent): void
  /** The returned function ends the listening. */
  listen(listener: Listener): () => void
}

export function createInspector(): Inspector {
  const listeners = new Set<Listener>()
  return {
    get isWatched() {
      return listeners.size > 0
    },
    emit(event) {
      for (const listener of listeners) listener(event)
    },
    listen(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
}
