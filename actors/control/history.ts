// The curves of a run, bounded: when a series is full every other point goes, and points come half as often.
import type { History } from '../../protocol/control.ts'
import type { RunEvent } from '../events.ts'

export interface HistoryKeeper {
  note(event: RunEvent, seconds: number): void
  show(run: string): History
}

const POINTS_MAX = 2_000
/** Of phases, evaluations and deaths each. */
const MARKS_MAX = 1_000
const SPACING_SECONDS = 0.5

interface Point {
  readonly seconds: number
  readonly loss: number | null
  readonly examplesPerSecond: number | null
  readonly learningRate: number | null
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

export function createHistory({ pointsMax = POINTS_MAX } = {}): HistoryKeeper {
  let points: Point[] = []
  let spacing = SPACING_SECONDS
  const phases: History['phases'] = []
  const evaluations: History['evaluations'] = []
  const deaths: Mutable<History['deaths'][number]>[] = []

  function notePoint(event: Extract<RunEvent, { type: 'progress' }>, seconds: number): void {
    if (event.loss === undefined && event.examplesPerSecond === undefined) return
    const last = points.at(-1)
    if (last && seconds - last.seconds < spacing) return
    points.push({
      seconds,
      loss: finite(event.loss),
      examplesPerSecond: finite(event.examplesPerSecond),
      learningRate: finite(event.learningRate),
    })
    if (points.length < pointsMax) return
    points = points.filter((_, index) => index % 2 === 0)
    spacing *= 2
  }

  return {
    note(event, seconds) {
      switch (event.type) {
        case 'progress':
          return notePoint(event, seconds)
        case 'phase':
          return keep(phases, { seconds, phase: event.phase })
        case 'evaluated': {
          const { model, set, errorRate } = event
          return keep(evaluations, { seconds, model, set, errorPercent: errorRate.percent })
        }
        case 'accuracy': {
          const { model, set, accuracy } = event
          return keep(evaluations, { seconds, model, set, accuracyPercent: accuracy.top1 })
        }
        case 'death':
          return keep(deaths, { seconds, actor: event.actor })
        case 'recovered': {
          const death = deaths.findLast(({ actor }) => actor === event.actor)
          if (death) death.recoveredMs = event.recoveredMs
        }
      }
    },
    show(run) {
      const column = <K extends keyof Point>(name: K): Point[K][] =>
        points.map((point) => point[name])
      return {
        run,
        seconds: column('seconds'),
        loss: column('loss'),
        examplesPerSecond: column('examplesPerSecond'),
        learningRate: column('learningRate'),
        phases: [...phases],
        evaluations: [...evaluations],
        deaths: [...deaths],
      }
    },
  }
}

/** The oldest go first. */
function keep<T>(list: T[], item: T): void {
  list.push(item)
  if (list.length > MARKS_MAX) list.shift()
}

function finite(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) ? value : null
}
