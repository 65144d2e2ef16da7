// Gradient transformations that chain, as in Optax: each one turns a gradient, in place, into a better
// step. Their state belongs to whoever owns the range of parameters, and is plain: typed arrays and numbers.
import { assert } from '../../protocol/assert.ts'
import type { Range } from '../parameters.ts'

export interface Transform {
  readonly name: string
  /** Names of the state vectors, each as long as the range: `adam.mean`. */
  readonly slots: readonly string[]
  /** Names of the state numbers: `adam.beta1Power`. */
  readonly scalars: readonly string[]
  init(count: number): TransformState
  /** Turns `gradient` into the step to subtract, in place, and advances `state`, in place. */
  update(gradient: Float32Array, state: TransformState, context: UpdateContext): void
}

/** Everything that must be kept so that a later update gives the same bits. */
export interface TransformState {
  readonly vectors: Record<string, Float32Array>
  readonly scalars: Record<string, number>
}

export interface UpdateContext {
  /** Updates applied to this range before this one: what a schedule is read at. */
  readonly update: number
  /** What the staleness policy makes of the learning rate: 1, or alpha / tau. */
  readonly rateScale: number
  /** The live parameters, which weight decay reads. */
  readonly parameters: Float32Array
  /** Where weights decay; absent: everywhere. */
  readonly decayed?: readonly Range[]
}

export class StateError extends Error {
  override readonly name = 'StateError'
}

/** One after the other, first to last. A name may occur once, so that state names stay distinct. */
export function chain(...transforms: readonly Transform[]): Transform {
  const names = transforms.map(({ name }) => name)
  assert(new Set(names).size === names.length, `transforms of a chain differ: ${names.join(', ')}`)
  return {
    name: names.join(' > '),
    slots: transforms.flatMap(({ slots }) => slots),
    scalars: transforms.flatMap(({ scalars }) => scalars),
    init(count) {
      const states = transforms.map((transform) => transform.init(count))
      return {
        vectors: Object.assign({}, ...states.map(({ vectors }) => vectors)),
        scalars: Object.assign({}, ...states.map(({ scalars }) => scalars)),
      }
    },
    update(gradient, state, context) {
      for (const transform of transforms) transform.update(gradient, state, context)
    },
  }
}

/** One whole update, in place: parameters -= transform(gradient). The gradient is used up. */
export function applyGradient(
  transform: Transform,
  state: TransformState,
  gradient: Float32Array,
  context: UpdateContext,
): void {
  assert(gradient.length === context.parameters.length, 'a gradient is as long as its parameters')
  transform.update(gradient, state, context)
  subtract(context.parameters, gradient)
}

/** A state read back from a snapshot, once it proves to be one of this transform; nothing is copied. */
export function restoreState(
  transform: Transform,
  saved: TransformState,
  count: number,
): TransformState {
  const refuse = (what: string): never => {
    throw new StateError(`saved optimizer state ${what}: not made by ${transform.name}; start anew`)
  }
  for (const slot of transform.slots) {
    const length = saved.vectors[slot]?.length
    if (length !== count) refuse(`has ${length ?? 'no'} values of ${slot} where ${count} belong`)
  }
  for (const scalar of transform.scalars) {
    if (typeof saved.scalars[scalar] !== 'number') refuse(`lacks ${scalar}`)
  }
  for (const name of [...Object.keys(saved.vectors), ...Object.keys(saved.scalars)]) {
    const isKnown = transform.slots.includes(name) || transform.scalars.includes(name)
    if (!isKnown) refuse(`holds ${name}`)
  }
  return saved
}

/** A copy that later updates leave alone: what a snapshot keeps. */
export function copyState(state: TransformState): TransformState {
  const vectors: Record<string, Float32Array> = {}
  for (const [slot, values] of Object.entries(state.vectors)) vectors[slot] = values.slice()
  return { vectors, scalars: { ...state.scalars } }
}

/**
 * Euclidean norm, summed in float64: no float32 values overflow it, so it is finite exactly where all
 * of them are.
 */
export function normOf(values: Float32Array): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]! * values[i]!
  return Math.sqrt(sum)
}

export function scale(values: Float32Array, factor: number): void {
  const rounded = Math.fround(factor)
  for (let i = 0; i < values.length; i++) values[i] = Math.fround(values[i]! * rounded)
}

function subtract(target: Float32Array, values: Float32Array): void {
  for (let i = 0; i < target.length; i++) {
    target[i] = Math.fround(target[i]! - values[i]!)
  }
}
