// Learning-rate schedules as data: they travel as JSON and print as one line. `update` counts from 0.
import { unreachable } from '../../protocol/assert.ts'

export type Schedule =
  | { readonly name: 'constant'; readonly rate: number }
  | { readonly name: 'piecewise'; readonly pieces: readonly Piece[] }
  | {
      readonly name: 'exponential'
      readonly rate: number
      /** Times this, every `everyUpdates` updates ... */
      readonly decay: number
      readonly everyUpdates: number
      /** ... at once (true), or a little with every update (false). */
      readonly staircase: boolean
    }
  | {
      readonly name: 'cosine'
      readonly rate: number
      /** Rises linearly over these updates, then falls along half a cosine to `finalRate`. */
      readonly warmupUpdates: number
      readonly totalUpdates: number
      readonly finalRate: number
    }
  | {
      readonly name: 'linear'
      readonly rate: number
      /** Rises linearly over these updates, then falls linearly to `finalRate`. */
      readonly warmupUpdates: number
      readonly totalUpdates: number
      readonly finalRate: number
    }

/** `rate` holds below `untilUpdate`; the last piece holds for ever. */
export interface Piece {
  readonly untilUpdate: number
  readonly rate: number
}

export function rateAt(schedule: Schedule, update: number): number {
  switch (schedule.name) {
    case 'constant':
      return schedule.rate
    case 'piecewise': {
      const piece = schedule.pieces.find(({ untilUpdate }) => update < untilUpdate)
      return (piece ?? schedule.pieces.at(-1))?.rate ?? 0
    }
    case 'exponential': {
      const periods = update / schedule.everyUpdates
      return schedule.rate * schedule.decay ** (schedule.staircase ? Math.floor(periods) : periods)
    }
    case 'cosine':
      return fallingRate(schedule, update, halfCosine)
    case 'linear':
      return fallingRate(schedule, update, (progress) => 1 - progress)
    default:
      return unreachable(schedule)
  }
}

/** One line for people: `cosine 0.1 to 0 over 1000 updates, warm-up 100`. */
export function printSchedule(schedule: Schedule): string {
  switch (schedule.name) {
    case 'constant':
      return `constant ${schedule.rate}`
    case 'piecewise':
      return `piecewise ${schedule.pieces.map((p) => `${p.rate} until ${p.untilUpdate}`).join(', ')}`
    case 'exponential': {
      const { rate, decay, everyUpdates, staircase } = schedule
      return `exponential ${rate} x ${decay} every ${everyUpdates}${staircase ? ', in steps' : ''}`
    }
    case 'linear':
    case 'cosine': {
      const { name, rate, finalRate, totalUpdates, warmupUpdates } = schedule
      return `${name} ${rate} to ${finalRate} over ${totalUpdates} updates, warm-up ${warmupUpdates}`
    }
    default:
      return unreachable(schedule)
  }
}

/** Loshchilov and Hutter 2017, equation 5, one period. */
const halfCosine = (progress: number): number => (1 + Math.cos(Math.PI * progress)) / 2

/** The first update already has a rate above 0. */
function fallingRate(
  schedule: Extract<Schedule, { name: 'cosine' | 'linear' }>,
  update: number,
  left: (progress: number) => number,
): number {
  const { rate, finalRate, warmupUpdates, totalUpdates } = schedule
  if (update < warmupUpdates) return (rate * (update + 1)) / warmupUpdates
  const fallUpdates = Math.max(1, totalUpdates - warmupUpdates)
  const progress = Math.min(1, (update - warmupUpdates) / fallUpdates)
  return finalRate + (rate - finalRate) * left(progress)
}
