// A run as it is shown: what its events so far amount to. Pure.
import type { Run } from '../../protocol/control.ts'
import type { RunEvent } from '../events.ts'

/** What the events tell; identity and state come from the run itself. */
export type RunFigures = Pick<
  Run,
  | 'phase'
  | 'done'
  | 'total'
  | 'unit'
  | 'loss'
  | 'learningRate'
  | 'examples'
  | 'examplesPerSecond'
  | 'remainingSeconds'
  | 'deaths'
  | 'errorPercent'
  | 'accuracyPercent'
>

export const noFigures: RunFigures = { deaths: 0 }

export function foldEvent(figures: RunFigures, event: RunEvent): RunFigures {
  switch (event.type) {
    case 'phase': {
      const { phase, total, unit } = event
      const { deaths, errorPercent, accuracyPercent } = figures
      return definedOf({ deaths, errorPercent, accuracyPercent, phase, total, unit, done: 0 })
    }
    case 'progress': {
      const { type: _, ...news } = event
      return { ...figures, ...finiteOf(news) }
    }
    case 'phase-ended':
      return { ...figures, ...(figures.total !== undefined && { done: figures.total }) }
    case 'death':
      return { ...figures, deaths: figures.deaths + 1 }
    case 'evaluated':
      return { ...figures, errorPercent: event.errorRate.percent }
    case 'accuracy':
      return { ...figures, accuracyPercent: event.accuracy.top1 }
    default:
      return figures
  }
}

/** JSON has no infinity: what is not finite is not known. */
function finiteOf<T extends object>(values: T): Partial<T> {
  const entries = Object.entries(values).filter(
    ([, value]) => typeof value !== 'number' || Number.isFinite(value),
  )
  return Object.fromEntries(entries) as Partial<T>
}

function definedOf<T extends object>(values: T): T & RunFigures {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as T & RunFigures
}
