// The timelines of all stages over one axis: each has a clock of its own, and says what the wall clock was.
import type { StageTimeline, SubnetworkMessage } from '../../protocol/pipeline.ts'
import type { System } from '../../runtime/index.ts'
import { insightLimits, type PipelineInsight, type Span, type Timeline } from '../insight.ts'
import { type Stage, SUBNETWORK } from './processes.ts'
import { spanKinds } from './spans.ts'

/** Who computes answers between two micro-batches. */
const ANSWER_MS_MAX = 2_000

export interface PipelineLooker {
  readonly insight: PipelineInsight
  /** Before the processes end: what was last. */
  ending(): Promise<void>
}

export function pipelineLooker(
  system: System,
  stages: readonly Stage[],
  life: { readonly isOver: boolean; whileUnderWay<T>(promise: Promise<T>): Promise<T | undefined> },
): PipelineLooker {
  let last: Timeline = { startedAt: 0, durationMs: 0, stages: [], spans: [], missing: [] }
  let asking: Promise<Timeline> | undefined

  async function ask(): Promise<Timeline> {
    const answers = await Promise.all(
      stages.map(async ({ name }) => {
        const ref = system.ref<SubnetworkMessage>({ member: name, path: `/${SUBNETWORK}` })
        // One that is dead, or not there yet, is missing.
        return await system
          .ask(ref, { type: 'timeline' }, { timeoutMs: ANSWER_MS_MAX })
          .catch(() => undefined)
      }),
    )
    const made = timelineOf(stages, answers)
    if (made.stages.length > 0) last = made
    return made
  }
  async function timeline(): Promise<Timeline> {
    if (life.isOver) return last
    // Those who ask at the same time share an answer.
    asking ??= ask().finally(() => {
      asking = undefined
    })
    return (await life.whileUnderWay(asking)) ?? last
  }
  return {
    insight: { timeline },
    async ending() {
      await timeline()
    },
  }
}

/** A span or a moment on the wall clock. */
interface Known extends Stage {
  readonly answer: StageTimeline
  /** What is added to its own clock. */
  readonly offset: number
}

export function timelineOf(
  stages: readonly Stage[],
  answers: readonly (StageTimeline | undefined)[],
): Timeline {
  const missing = stages.filter((_, index) => !answers[index]).map(({ name }) => name)
  const known = stages.flatMap((stage, index): Known[] => {
    const answer = answers[index]
    return answer ? [{ ...stage, answer, offset: answer.wallTime - answer.now }] : []
  })
  const all = known.map(spansOf)
  const begins = all.flat().map(({ from }) => from)
  if (begins.length === 0) return { startedAt: 0, durationMs: 0, stages: [], spans: [], missing }
  // Up to where all have answered, and from where all are known.
  const end = Math.min(...known.map(({ answer }) => answer.wallTime))
  const start = Math.max(
    end - insightLimits.timelineMs,
    begins.reduce((least, from) => Math.min(least, from), end),
    ...known.map(({ answer, offset }) => answer.since + (answer.since > 0 ? offset : 0)),
  )
  const durationMs = Math.max(0, end - start)
  const cut = all.map((spans) =>
    spans
      .map(({ from, to, ...span }) => ({
        ...span,
        from: Math.max(0, from - start),
        to: Math.min(durationMs, to - start),
      }))
      .filter(({ from, to }) => from < to),
  )
  const shown = known.map(({ stage, replica, name }, index) => {
    const waits = waitsBetween(cut[index] ?? [], { stage, replica, durationMs })
    const idleMs = waits.reduce((sum, { from, to }) => sum + to - from, 0)
    return {
      waits,
      stage: { stage, replica, name, idleShare: idleMs / Math.max(1e-9, durationMs) },
    }
  })
  return {
    startedAt: start,
    durationMs,
    stages: shown.map(({ stage }) => stage),
    spans: [...cut.flat(), ...shown.flatMap(({ waits }) => waits)],
    missing,
  }
}

function spansOf({ stage, replica, answer, offset }: Known): Span[] {
  const { spans } = answer
  return Array.from({ length: Math.floor(spans.length / 4) }, (_, index) => {
    const [kind = 0, minibatch = 0, from = 0, to = 0] = spans.slice(4 * index, 4 * index + 4)
    const name = spanKinds[kind] ?? 'forward'
    return { stage, replica, kind: name, minibatch, from: from + offset, to: to + offset }
  })
}

/** What lies between computing: pushes go on beside it. */
function waitsBetween(
  spans: readonly Span[],
  { durationMs, ...of }: { readonly stage: number; readonly replica: number; durationMs: number },
): Span[] {
  const computing = spans.filter(({ kind }) => kind !== 'push').sort((a, b) => a.from - b.from)
  const waits: Span[] = []
  let at = 0
  for (const { from, to, minibatch } of computing) {
    if (from > at) waits.push({ ...of, kind: 'wait', minibatch, from: at, to: from })
    at = Math.max(at, to)
  }
  if (at < durationMs) {
    waits.push({ ...of, kind: 'wait', minibatch: null, from: at, to: durationMs })
  }
  return waits
}
