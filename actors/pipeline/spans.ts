// What a stage did lately, as a ring of numbers: writing one costs nothing beside a micro-batch.
import { insightLimits } from '../insight.ts'
import type { StageTimeline } from '../../protocol/pipeline.ts'
import type { Clock } from '../../runtime/environment.ts'

/** By their number in a span. */
export const spanKinds = ['forward', 'backward', 'both', 'push'] as const

export interface SpanRing {
  /** Answers what to call at the end of it. */
  begin(kind: (typeof spanKinds)[number], minibatch: number): () => void
  /** Finished spans of the last seconds, and those under way as if they ended now. */
  recent(): StageTimeline
}

/** Numbers of a span: kind, minibatch, from, to. */
const NUMBERS = 4

export function spanRing(clock: Clock): SpanRing {
  const { spansMax, timelineMs } = insightLimits
  const ring = new Float64Array(NUMBERS * spansMax)
  const open = new Set<{
    readonly kind: number
    readonly minibatch: number
    readonly from: number
  }>()
  let count = 0
  return {
    begin(kind, minibatch) {
      const span = { kind: spanKinds.indexOf(kind), minibatch, from: clock.now() }
      open.add(span)
      return () => {
        if (!open.delete(span)) return
        const { kind: number, from } = span
        ring.set([number, minibatch, from, clock.now()], NUMBERS * (count % spansMax))
        count += 1
      }
    },
    recent() {
      const now = clock.now()
      const spans: number[] = []
      for (let index = Math.max(0, count - spansMax); index < count; index++) {
        const at = NUMBERS * (index % spansMax)
        if (ring[at + 3]! >= now - timelineMs) spans.push(...ring.subarray(at, at + NUMBERS))
      }
      for (const { kind, minibatch, from } of open) spans.push(kind, minibatch, from, now)
      // The oldest one there is: of the time before nothing is known.
      const since = count > spansMax ? ring[NUMBERS * (count % spansMax) + 2]! : 0
      return { now, wallTime: clock.wallTime(), since, spans }
    },
  }
}
