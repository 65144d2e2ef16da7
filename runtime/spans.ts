// Spans of sampled traces: turns, and what an actor does outside of them; what is sent meanwhile carries
// them. Nothing at all where nobody looks.
import type { Cell, Kernel } from './lives.ts'
import { sampled } from './trace.ts'

export interface Span {
  /** W3C `traceparent` of this span. */
  readonly trace: string
  /** Work within this one. */
  child(name: string): Span
  /** What `send` sends is caused by this span. */
  within<T>(send: () => T): T
  end(): void
}

/** The first of a new trace, for one in so many calls; undefined for the others. */
export function beginTrace(kernel: Kernel, cell: Cell, name: string): Span | undefined {
  const { inspector, traces } = kernel
  return inspector.isSampleDue()
    ? spanOf(kernel, cell, name, sampled(traces.begin()), '')
    : undefined
}

/** Begins now, as a child of `parent`. */
export function spanOf(
  kernel: Kernel,
  cell: Cell,
  name: string,
  trace: string,
  parent: string,
): Span {
  const { environment, inspector, traces, turn } = kernel
  const { clock } = environment
  const startedAt = clock.now()
  return {
    trace,
    child: (inner) => spanOf(kernel, cell, inner, traces.child(trace), trace),
    within(send) {
      const before = { ...turn }
      turn.isRunning = true
      turn.trace = trace
      try {
        return send()
      } finally {
        Object.assign(turn, before)
      }
    },
    end() {
      const durationMs = clock.now() - startedAt
      const { path, definition } = cell
      const wallTime = clock.wallTime() - durationMs
      const { kind } = definition
      inspector.emit({
        type: 'span',
        trace,
        parent,
        path,
        kind,
        message: name,
        wallTime,
        durationMs,
      })
    },
  }
}
