// Optimizers as data: a spec travels as JSON and is printed in reports; `optimizerOf` turns it into a
// chain of transforms. What arrives from elsewhere is checked by `parseOptimizer`.
import type { Average } from './average.ts'
import type { Schedule } from './schedule.ts'
import { chain, type Transform } from './transform.ts'
import {
  adagrad,
  adam,
  clipByNorm,
  decayWeights,
  momentum,
  rmsprop,
  scaleByRate,
} from './transforms.ts'

interface Shared {
  readonly schedule: Schedule
  /** Largest gradient norm of one shard's range. */
  readonly clipNorm?: number
  /** L2 regularisation; with Adam decoupled, as AdamW. */
  readonly weightDecay?: number
}

interface Own {
  readonly sgd: object
  readonly momentum: { readonly momentum: number; readonly nesterov: boolean }
  readonly adagrad: { readonly initialAccumulator: number; readonly epsilon: number }
  readonly rmsprop: {
    readonly decay: number
    readonly epsilon: number
    readonly momentum: number
    readonly initialMeanSquare: number
  }
  readonly adam: { readonly beta1: number; readonly beta2: number; readonly epsilon: number }
}

export type OptimizerName = keyof Own
export type OptimizerSpec = {
  [Name in OptimizerName]: { readonly name: Name } & Shared & Own[Name]
}[OptimizerName]

export class OptimizerError extends Error {
  override readonly name = 'OptimizerError'
}

/** Usual constants: TensorFlow's for Adagrad and RMSProp, the papers' for the rest. */
export const optimizerDefaults: { readonly [Name in OptimizerName]: Own[Name] & { rate: number } } =
  {
    sgd: { rate: 0.1 },
    momentum: { rate: 0.01, momentum: 0.9, nesterov: false },
    adagrad: { rate: 0.01, initialAccumulator: 0.1, epsilon: 1e-10 },
    rmsprop: { rate: 0.001, decay: 0.9, epsilon: 1e-10, momentum: 0, initialMeanSquare: 1 },
    adam: { rate: 0.001, beta1: 0.9, beta2: 0.999, epsilon: 1e-8 },
  }

export const optimizerNames = Object.keys(optimizerDefaults) as readonly OptimizerName[]

/** The spec of a name with its usual constants, and a constant rate unless a schedule is given. */
export function optimizerSpec(
  name: OptimizerName,
  shared: Partial<Shared> & { rate?: number } = {},
): OptimizerSpec {
  const { rate: usualRate, ...own } = optimizerDefaults[name]
  const { rate = usualRate, ...rest } = shared
  return parseOptimizer({ schedule: { name: 'constant', rate }, ...rest, ...own, name })
}

/**
 * Momentum comes after the rate (v = decay v + rate g, Sutskever 2013), so that each gradient keeps the
 * rate of its own staleness. At a constant rate that equals PyTorch's order.
 */
export function optimizerOf(spec: OptimizerSpec): Transform {
  const clip = spec.clipNorm === undefined ? [] : [clipByNorm(spec.clipNorm)]
  const decay = spec.weightDecay === undefined ? [] : [decayWeights(spec.weightDecay)]
  const rate = scaleByRate(spec.schedule)
  switch (spec.name) {
    case 'sgd':
      return chain(...clip, ...decay, rate)
    case 'momentum':
      return chain(...clip, ...decay, rate, momentum({ ...spec, decay: spec.momentum }))
    case 'adagrad':
      return chain(...clip, ...decay, adagrad(spec), rate)
    case 'rmsprop': {
      const inertia = spec.momentum > 0 ? [momentum({ decay: spec.momentum, nesterov: false })] : []
      return chain(...clip, ...decay, rmsprop(spec), rate, ...inertia)
    }
    case 'adam':
      return chain(...clip, adam(spec), ...decay, rate)
  }
}

/** Checks a spec that arrived as a plain value; throws `OptimizerError` naming the field. */
export function parseOptimizer(value: unknown): OptimizerSpec {
  const fields = recordOf(value, 'optimizer')
  const name = fields.name as OptimizerName
  if (!optimizerNames.includes(name)) {
    throw new OptimizerError(
      `optimizer: ${print(fields.name)}; give one of ${optimizerNames.join(', ')}`,
    )
  }
  const own = Object.keys(optimizerDefaults[name])
  const others = name === 'momentum' ? [...sharedFields, 'nesterov'] : sharedFields
  checkFields(fields, { at: name, ranges: rangesOf(own), others })
  for (const field of ['clipNorm', 'weightDecay'] as const) {
    if (fields[field] !== undefined) checkRange(fields[field], `${name}.${field}`, ranges[field])
  }
  if (name === 'momentum') checkFlag(fields.nesterov, 'momentum.nesterov')
  return { ...fields, schedule: parseSchedule(fields.schedule) } as unknown as OptimizerSpec
}

/** Checks an average that arrived as a plain value; throws `OptimizerError` naming the field. */
export function parseAverage(value: unknown): Average {
  const fields = recordOf(value, 'average')
  switch (fields.name) {
    case 'exponential':
      checkFields(fields, {
        at: 'exponential',
        ranges: { decay: belowOne },
        others: ['name', 'debias'],
      })
      checkFlag(fields.debias, 'exponential.debias')
      break
    case 'ramped':
      checkFields(fields, { at: 'ramped', ranges: { decay: belowOne }, others: ['name'] })
      break
    case 'polyak':
      checkFields(fields, { at: 'polyak', ranges: { fromUpdate: anyUpdates }, others: ['name'] })
      break
    default:
      throw new OptimizerError(`average: ${print(fields.name)}; give exponential, ramped or polyak`)
  }
  return fields as unknown as Average
}

/** Checks a schedule that arrived as a plain value; throws `OptimizerError` naming the field. */
export function parseSchedule(value: unknown): Schedule {
  const fields = recordOf(value, 'schedule')
  const name = `${fields.name}`
  const rows = Object.hasOwn(scheduleFields, name)
    ? scheduleFields[name as Schedule['name']]
    : undefined
  if (rows === undefined) {
    const names = Object.keys(scheduleFields).join(', ')
    throw new OptimizerError(`schedule: ${print(fields.name)}; give one of ${names}`)
  }
  const others = ['name', ...(scheduleOthers[name as Schedule['name']] ?? [])]
  checkFields(fields, { at: name, ranges: rows, others })
  if (name === 'exponential') checkFlag(fields.staircase, 'exponential.staircase')
  if (name === 'piecewise') parsePieces(fields.pieces)
  return fields as unknown as Schedule
}

type Range = readonly [low: number, high: number]

const anyRate: Range = [0, 1e6]
const anyUpdates: Range = [0, Number.MAX_SAFE_INTEGER]
const fraction: Range = [0, 1]
const belowOne: Range = [0, 1 - Number.EPSILON]
const sharedFields = ['name', 'schedule', 'clipNorm', 'weightDecay']

const ranges: { readonly [field: string]: Range; clipNorm: Range; weightDecay: Range } = {
  momentum: belowOne,
  decay: belowOne,
  beta1: belowOne,
  beta2: belowOne,
  // Above 0, or a gradient that is always 0 would give 0 / 0.
  epsilon: [1e-30, 1e3],
  initialAccumulator: [0, 1e6],
  initialMeanSquare: [0, 1e6],
  clipNorm: [Number.MIN_VALUE, 1e30],
  weightDecay: fraction,
}

const falling = {
  rate: anyRate,
  finalRate: anyRate,
  warmupUpdates: anyUpdates,
  totalUpdates: anyUpdates,
}

const scheduleFields: Readonly<Record<Schedule['name'], Readonly<Record<string, Range>>>> = {
  constant: { rate: anyRate },
  piecewise: {},
  exponential: { rate: anyRate, decay: fraction, everyUpdates: [1, Number.MAX_SAFE_INTEGER] },
  cosine: falling,
  linear: falling,
}

const scheduleOthers: Partial<Record<Schedule['name'], readonly string[]>> = {
  piecewise: ['pieces'],
  exponential: ['staircase'],
}

function rangesOf(names: readonly string[]): Record<string, Range> {
  const chosen: Record<string, Range> = {}
  for (const name of names) {
    const range = ranges[name]
    if (range) chosen[name] = range
  }
  return chosen
}

function checkFields(
  fields: Readonly<Record<string, unknown>>,
  known: { at: string; ranges: Readonly<Record<string, Range>>; others: readonly string[] },
): void {
  for (const [field, range] of Object.entries(known.ranges)) {
    checkRange(fields[field], `${known.at}.${field}`, range)
  }
  for (const field of Object.keys(fields)) {
    if (!Object.hasOwn(known.ranges, field) && !known.others.includes(field)) {
      const names = Object.keys(known.ranges).join(', ')
      throw new OptimizerError(`${known.at}.${field}: unknown; ${known.at} has ${names || 'none'}`)
    }
  }
}

function checkRange(value: unknown, at: string, [low, high]: Range): void {
  if (typeof value === 'number' && value >= low && value <= high) return
  throw new OptimizerError(`${at}: ${print(value)}; give ${low} to ${high}`)
}

function checkFlag(value: unknown, at: string): void {
  if (typeof value === 'boolean') return
  throw new OptimizerError(`${at}: ${print(value)}; give true or false`)
}

function parsePieces(value: unknown): void {
  const pieces = Array.isArray(value) ? value : []
  let previous = 0
  for (const [index, piece] of pieces.entries()) {
    const { untilUpdate, rate } = recordOf(piece, `piecewise.pieces[${index}]`)
    checkRange(rate, `piecewise.pieces[${index}].rate`, anyRate)
    checkRange(untilUpdate, `piecewise.pieces[${index}].untilUpdate`, [previous + 1, anyUpdates[1]])
    previous = untilUpdate as number
  }
  if (pieces.length === 0) {
    throw new OptimizerError(`piecewise.pieces: ${print(value)}; give at least one piece`)
  }
}

function recordOf(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Record<string, unknown>
  }
  throw new OptimizerError(`${at}: ${print(value)}; give an object with a name`)
}

function print(value: unknown): string {
  return `${JSON.stringify(value)}`.slice(0, 60)
}
