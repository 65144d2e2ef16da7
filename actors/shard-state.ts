// The state of a parameter shard and what messages do to it. No clock, no disk, no chance: replaying
// the same records gives the same bits (architecture, decision 7).
import { decodeGradient } from '../models/compression.ts'
import {
  type Average,
  admitTrainer,
  applyGradient,
  assembleRound,
  averageWeight,
  checkPolicy,
  follow,
  followStatistics,
  isRoundComplete,
  judgePush,
  mayProceed,
  normOf,
  type OptimizerSpec,
  optimizerOf,
  PolicyError,
  parseAverage,
  parseOptimizer,
  printPolicy,
  rateAt,
  type StalenessPolicy,
  type Transform,
  type TransformState,
} from '../models/optimizers/index.ts'
import { type Range, rangesOfRole } from '../models/parameters.ts'
import { assert, unreachable } from '../protocol/assert.ts'
import { alignedFloat32 } from '../protocol/tensor.ts'
import type { Adjustment, PhaseStart, Push, Pushed, UpdateCounts } from '../protocol/training.ts'
import {
  type AppliedSet,
  appliedCount,
  hasApplied,
  nothingApplied,
  withApplied,
} from './applied-set.ts'

export interface ShardState {
  readonly parameters: Float32Array
  /** For evaluation. */
  readonly average: Float32Array
  /** Where a push is decoded: fresh memory for each would cost more than applying it. */
  readonly scratch: Float32Array
  /** 0 before the first phase begins. */
  phase: number
  recipe: Recipe | undefined
  version: number
  applied: AppliedSet
  /** hard-sync, softsync: pushes of the round that is not complete, by sequence. */
  held: Map<number, { readonly push: Push; readonly scale: number }>
  /** Trainer -> the lowest incarnation still heard. */
  fences: Map<string, number>
  /** Live trainer -> pushes taken from it in this phase. */
  clocks: Map<string, number>
  counts: UpdateCounts
  /** Index = staleness; the last bucket holds all above. */
  staleness: number[]
  /** Of the last adjustment, in whichever phase. */
  change: number
}

export interface Recipe {
  /** With the policy and the trainers that hold now. */
  readonly start: Omit<PhaseStart, 'parameters'>
  readonly optimizer: OptimizerSpec
  /** What adjustments make of the schedule's rate. */
  readonly rateScale: number
  readonly policy: StalenessPolicy
  readonly average: Average
  readonly transform: Transform
  readonly decayed: readonly Range[]
  readonly statistics: readonly Range[]
  optimizerState: TransformState
}

export const STALENESS_BUCKETS = 64

export function emptyShard(length: number): ShardState {
  return {
    parameters: new Float32Array(length),
    average: new Float32Array(length),
    scratch: new Float32Array(length),
    phase: 0,
    recipe: undefined,
    version: 0,
    applied: nothingApplied,
    held: new Map(),
    fences: new Map(),
    clocks: new Map(),
    counts: { applied: 0, duplicates: 0, refused: 0 },
    staleness: new Array(STALENESS_BUCKETS).fill(0),
    change: 0,
  }
}

/** A phase begins once: the optimizer starts anew, the average starts at the parameters. */
export function beginPhase(shard: ShardState, { parameters, ...start }: PhaseStart): void {
  assert(start.phase > shard.phase, 'phases count up')
  if (parameters) shard.parameters.set(alignedFloat32(parameters.bytes))
  shard.average.set(shard.parameters)
  shard.phase = start.phase
  shard.recipe = recipeOf(start, shard.parameters.length)
  // New parameters are a new version even before the first update: nobody may think he has them.
  shard.version += 1
  shard.applied = nothingApplied
  shard.held = new Map()
  shard.clocks = new Map(start.trainers.map((trainer) => [trainer, 0]))
}

export function recipeOf(start: Recipe['start'], length: number): Recipe {
  const optimizer = parseOptimizer(start.optimizer)
  const transform = optimizerOf(optimizer)
  const policy = checkShardPolicy(start.policy)
  const sections = start.sections ?? [{ role: 'decayed', length }]
  const total = sections.reduce((sum, section) => sum + section.length, 0)
  assert(total === length, `sections of ${total} parameters fill a range of ${length}`)
  return {
    start,
    optimizer,
    rateScale: 1,
    policy,
    average: parseAverage(start.average),
    transform,
    decayed: rangesOfRole(sections, 'decayed'),
    statistics: rangesOfRole(sections, 'statistics'),
    optimizerState: transform.init(length),
  }
}

/** A policy that a shard can have; throws `PolicyError`. */
export function checkShardPolicy(value: unknown): StalenessPolicy {
  const policy = checkPolicy(value)
  if (policy.name === 'dc-asgd' || policy.name === 'gap-aware') {
    // Their correction reads parameters of a past version, which a replayed journal no longer has.
    throw new PolicyError(`policy: a shard does not keep past versions, which ${policy.name} reads`)
  }
  return policy
}

export type PushOutcome =
  /** Journal it, then `applyPush`. */
  | { readonly type: 'accept'; readonly scale: number }
  /** Journal it, then `holdPush`: the answer comes with the round. */
  | { readonly type: 'hold'; readonly scale: number }
  | { readonly type: 'answer'; readonly pushed: Pushed }

/** What to do with a push: decided before anything is written, changes nothing. */
export function decidePush(shard: ShardState, push: Push): PushOutcome {
  const { version, recipe, held } = shard
  const staleness = version - push.versions.inner
  const answer = (verdict: Pushed['verdict'], reason: Refusal | ''): PushOutcome => ({
    type: 'answer',
    pushed: { verdict, reason, version, staleness },
  })
  if (push.incarnation < (shard.fences.get(push.trainer) ?? 0)) {
    return answer('refused', 'former-incarnation')
  }
  if (push.phase !== shard.phase || !recipe) return answer('refused', 'other-phase')
  if (hasApplied(shard.applied, push.sequence)) return answer('duplicate', '')
  if (held.has(push.sequence)) return { type: 'hold', scale: 1 }
  if (staleness < 0) return answer('refused', 'baseline-ahead')
  const refusal = refusalOf(push, shard)
  if (refusal) return answer('refused', refusal)
  // A round is made of steps, not of trainers: a step may be redone by the successor of its trainer.
  const judged = judgePush({
    policy: recipe.policy,
    trainer: String(push.sequence),
    staleness,
    held: [...held.keys()].map(String),
    roundSize: roundSizeOf(shard, recipe),
  })
  switch (judged.verdict) {
    case 'apply':
      return { type: 'accept', scale: judged.scale }
    case 'hold':
    case 'complete':
      return { type: 'hold', scale: judged.scale }
    case 'refuse':
      return answer('refused', 'stale')
    case 'compensate':
      return unreachable(judged as never)
  }
}

// A gradient that is not finite must never reach the parameters: the sum of squares shows it.
function refusalOf({ gradient }: Push, { scratch }: ShardState): Refusal | undefined {
  if (gradient.values.shape[0] !== scratch.length) return 'wrong-length'
  return Number.isFinite(normOf(decodeGradient(gradient, scratch))) ? undefined : 'not-finite'
}

/**
 * Why a push is not applied. `stale` and `baseline-ahead`: pull and compute the step again.
 * `former-incarnation`: the trainer was declared dead and must end. `other-phase`: the step is moot.
 */
export type Refusal =
  | 'former-incarnation'
  | 'other-phase'
  | 'baseline-ahead'
  | 'stale'
  | 'not-finite'
  | 'wrong-length'

/** Applies a journalled push. Answers what its trainer, and those released by it, are to hear. */
export function applyPush(shard: ShardState, push: Push, scale: number): Pushed {
  return applyUpdate(shard, decodeGradient(push.gradient, shard.scratch), scale, [push])
}

/** Keeps a journalled push of a round; applies the round when it is complete. */
export function holdPush(shard: ShardState, push: Push, scale: number): Pushed | undefined {
  shard.held.set(push.sequence, { push, scale })
  return applyFullRound(shard)
}

function applyFullRound(shard: ShardState): Pushed | undefined {
  const { recipe, held } = shard
  assert(recipe !== undefined, 'a push is held within a phase')
  const roundSize = roundSizeOf(shard, recipe)
  const isFull = isRoundComplete(recipe.policy, [...held.keys()].map(String), roundSize)
  return isFull ? applyHeld(shard) : undefined
}

/** The pushes that are held, as one round: however many there are. */
function applyHeld(shard: ShardState): Pushed | undefined {
  const pushes = [...shard.held.values()]
  if (pushes.length === 0) return undefined
  const round = assembleRound(
    pushes.map(({ push: { gradient, weight, sequence }, scale }) => ({
      // Summed in the order of the steps, whoever computed them.
      trainer: '',
      sequence,
      weight,
      scale,
      gradient: decodeGradient(gradient),
    })),
  )
  shard.held = new Map()
  return applyUpdate(
    shard,
    round.gradient,
    round.scale,
    pushes.map(({ push }) => push),
  )
}

function applyUpdate(
  shard: ShardState,
  gradient: Float32Array,
  scale: number,
  pushes: readonly Push[],
): Pushed {
  const { recipe } = shard
  assert(recipe !== undefined, 'a push is applied within a phase')
  let staleness = 0
  for (const push of pushes) {
    staleness = shard.version - push.versions.inner
    const bucket = Math.min(staleness, STALENESS_BUCKETS - 1)
    shard.staleness[bucket] = shard.staleness[bucket]! + 1
    // A push fences the lives before its own: a fence that comes late finds nothing to do.
    fenceTrainer(shard, push.trainer, push.incarnation)
    countPush(shard, push.trainer)
  }
  const update = appliedCount(shard.applied)
  const { parameters } = shard
  const { average, decayed, statistics } = recipe
  followStatistics(parameters, gradient, statistics)
  applyGradient(recipe.transform, recipe.optimizerState, gradient, {
    update,
    rateScale: scale * recipe.rateScale,
    parameters,
    decayed,
  })
  follow(shard.average, parameters, averageWeight(average, update))
  for (const push of pushes) shard.applied = withApplied(shard.applied, push.sequence)
  shard.version += 1
  const { counts } = shard
  shard.counts = { ...counts, applied: counts.applied + pushes.length }
  return { verdict: 'applied', reason: '', version: shard.version, staleness }
}

/** Why an adjustment cannot be, or ''. Decided before anything is written, changes nothing. */
export function judgeAdjustment({ recipe }: ShardState, adjustment: Adjustment): string {
  const { rateScale = 1, policy, trainers } = adjustment
  if (!recipe) return 'no phase has begun'
  if (!(Number.isFinite(rateScale) && rateScale > 0 && rateScale * recipe.rateScale < Infinity)) {
    return `rateScale: ${rateScale}; give a number above 0`
  }
  if (trainers?.length === 0) return 'trainers: none; a phase has at least one'
  try {
    if (policy !== undefined) checkShardPolicy(policy)
    return ''
  } catch (error) {
    if (error instanceof PolicyError) return error.message
    throw error
  }
}

/**
 * Does what a journalled adjustment says, within the phase under way. Answers what the trainers of a round
 * are to hear that it completed: by another policy, which takes the held pushes as they are, or because
 * the round has become smaller.
 */
export function adjustShard(shard: ShardState, adjustment: Adjustment): Pushed | undefined {
  const { change, rateScale = 1, trainers } = adjustment
  const { recipe } = shard
  assert(recipe !== undefined, 'a phase is adjusted')
  shard.change = change
  const policy =
    adjustment.policy === undefined ? recipe.policy : checkShardPolicy(adjustment.policy)
  const isOther = printPolicy(policy) !== printPolicy(recipe.policy)
  const completed = isOther ? applyHeld(shard) : undefined
  // Nobody waits for what a trainer did not do while nobody counted.
  if (isOther) shard.clocks = new Map([...shard.clocks.keys()].map((trainer) => [trainer, 0]))
  const start = { ...recipe.start, policy, trainers: trainers ?? recipe.start.trainers }
  shard.recipe = { ...recipe, start, policy, rateScale: recipe.rateScale * rateScale }
  for (const trainer of trainers ? [...shard.clocks.keys()] : []) {
    if (!start.trainers.includes(trainer)) shard.clocks.delete(trainer)
  }
  return completed ?? applyFullRound(shard)
}

/** What the next update is scaled by. */
export function learningRateOf({ recipe, applied }: ShardState): number {
  return recipe ? rateAt(recipe.optimizer.schedule, appliedCount(applied)) * recipe.rateScale : 0
}

/** Refuses the former incarnations of a trainer; until it pushes again it holds nobody back. */
export function fenceTrainer(shard: ShardState, trainer: string, incarnation: number): void {
  if (incarnation <= (shard.fences.get(trainer) ?? 0)) return
  shard.fences.set(trainer, incarnation)
  shard.clocks.delete(trainer)
}

/** SSP: whether a trainer may take its next step. When no step is left nobody waits for anybody. */
export function mayGoOn(shard: ShardState, trainer: string): boolean {
  const { recipe, applied, clocks } = shard
  if (!recipe || appliedCount(applied) >= recipe.start.steps) return true
  return mayProceed(recipe.policy, clocks, trainer)
}

function countPush(shard: ShardState, trainer: string): void {
  const { clocks } = shard
  shard.clocks = new Map(clocks.has(trainer) ? clocks : admitTrainer(clocks, trainer))
  shard.clocks.set(trainer, (shard.clocks.get(trainer) ?? 0) + 1)
}

// The last round of a phase may be smaller.
function roundSizeOf({ applied }: ShardState, { start }: Recipe): number {
  return Math.min(start.trainers.length, start.steps - appliedCount(applied))
}
