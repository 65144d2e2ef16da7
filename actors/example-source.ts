// The data cursor of a run: hands out the steps of a phase by number, each to one trainer at a time.
// What a number means (which frames, which utterances) follows from the seed alone, so the cursor is
// the whole data and random state: a step redone by a successor is the same step.

import { plain } from '../protocol/schema.ts'
import { SourceMessage, type SourceStatus, type Work } from '../protocol/training.ts'
import { type ActorDefinition, next, type Ref } from '../runtime/actor.ts'
import {
  type AppliedSet,
  appliedCount,
  hasApplied,
  nothingApplied,
  withApplied,
} from './applied-set.ts'

type Begin = Extract<SourceMessage, { type: 'begin' }>
type Next = Extract<SourceMessage, { type: 'next' }>

export interface SourceState {
  readonly phase: Begin | undefined
  readonly nextSequence: number
  /** Given back by a dead trainer's release; handed out before new ones. */
  readonly returned: readonly number[]
  /** Step -> the lane that has it. */
  readonly taken: ReadonlyMap<number, Lane>
  readonly finished: AppliedSet
  readonly paused: boolean
  /** Trainer -> the last incarnation that is given no new step. Bounded by the team's changes. */
  readonly retired: ReadonlyMap<string, number>
}

/** A lane of one life of a trainer has at most one step. */
export type Lane = Pick<Next, 'trainer' | 'incarnation' | 'lane'>

export interface SourceConfig {
  /** Called for every finished step: how the run supervisor counts progress. In-process only. */
  readonly onFinished: (step: FinishedStep) => void
}

export type FinishedStep = NonNullable<Next['finished']> & { readonly trainer: string }

const WAIT_MS = 20

export const exampleSource: ActorDefinition<
  SourceConfig,
  SourceState & SourceConfig,
  SourceMessage
> = {
  kind: 'example-source',
  protocol: SourceMessage,
  config: plain as never,
  start: (config) => ({
    ...config,
    phase: undefined,
    nextSequence: 0,
    returned: [],
    taken: new Map(),
    finished: nothingApplied,
    paused: false,
    retired: new Map(),
  }),
  receive(state, message) {
    switch (message.type) {
      case 'begin':
        return next({ ...state, ...beginPhase(message) })
      case 'pause':
        return next({ ...state, paused: message.paused })
      case 'lanes':
        return next({ ...state, phase: state.phase && { ...state.phase, lanes: message.lanes } })
      case 'retire': {
        const { trainer, incarnation } = message
        return next({ ...state, retired: new Map(state.retired).set(trainer, incarnation) })
      }
      case 'status':
        message.replyTo.tell(statusOf(state))
        return next(state)
      case 'release':
        return next({ ...state, ...releaseSteps(state, message.trainer) })
      case 'next':
        return next({ ...state, ...handOut(finishStep(state, message), message) })
    }
  },
}

export function beginPhase(phase: Begin): Omit<SourceState, 'paused' | 'retired'> {
  const finished = { below: phase.applied.below, above: new Set(phase.applied.above) }
  return { phase, nextSequence: 0, returned: [], taken: new Map(), finished }
}

/** Gives back what a dead trainer had taken, oldest first. */
export function releaseSteps(state: SourceState, trainer: string): Partial<SourceState> {
  const entries = [...state.taken]
  const given = entries.filter(([, owner]) => owner.trainer === trainer).map(([step]) => step)
  const taken = new Map(entries.filter(([, owner]) => owner.trainer !== trainer))
  return { taken, returned: [...state.returned, ...given].sort((a, b) => a - b) }
}

/** The next step that nobody has, or none. */
export function takeStep(state: SourceState): { sequence: number; state: SourceState } | undefined {
  if (state.phase === undefined || state.paused) return undefined
  const [first, ...returned] = state.returned
  if (first !== undefined) return { sequence: first, state: { ...state, returned } }
  let sequence = state.nextSequence
  while (hasApplied(state.finished, sequence)) sequence += 1
  if (sequence >= state.phase.steps) return undefined
  return { sequence, state: { ...state, nextSequence: sequence + 1 } }
}

function finishStep<S extends SourceState & SourceConfig>(
  state: S,
  { finished, trainer }: Next,
): S {
  if (!finished || finished.phase !== state.phase?.phase) return state
  const taken = new Map(state.taken)
  taken.delete(finished.sequence)
  if (hasApplied(state.finished, finished.sequence)) return { ...state, taken }
  state.onFinished({ ...finished, trainer })
  const returned = state.returned.filter((sequence) => sequence !== finished.sequence)
  return { ...state, taken, returned, finished: withApplied(state.finished, finished.sequence) }
}

function handOut<S extends SourceState>(state: S, message: Next): S {
  const isIdle = message.lane >= (state.phase?.lanes ?? 0) || isRetired(state, message)
  // A lane that asks while it has a step has not heard of it: it asked twice, or found its step moot.
  const known = stepOf(state, message)
  const taken = known === undefined && !isIdle ? takeStep(state) : undefined
  const sequence = known ?? taken?.sequence
  reply(message.replyTo, sequence === undefined ? undefined : workOf(state.phase, sequence))
  if (!taken) return state
  const { trainer, incarnation, lane } = message
  const owners = new Map(taken.state.taken).set(taken.sequence, { trainer, incarnation, lane })
  return { ...state, ...taken.state, taken: owners }
}

function isRetired({ retired }: SourceState, { trainer, incarnation }: Lane): boolean {
  return incarnation <= (retired.get(trainer) ?? -1)
}

function statusOf({ phase, finished, taken, returned, paused }: SourceState): SourceStatus {
  return {
    phase: phase?.phase ?? 0,
    steps: phase?.steps ?? 0,
    finished: appliedCount(finished),
    taken: [...taken].map(([sequence, { trainer, lane }]) => ({ sequence, trainer, lane })),
    returned,
    paused,
  }
}

/** The step that a lane has. */
export function stepOf({ taken }: SourceState, asker: Lane): number | undefined {
  for (const [sequence, { trainer, incarnation, lane }] of taken) {
    const isSame = trainer === asker.trainer && incarnation === asker.incarnation
    if (isSame && lane === asker.lane) return sequence
  }
  return undefined
}

function workOf(phase: Begin | undefined, sequence: number): Work {
  if (!phase) return { type: 'wait', ms: WAIT_MS }
  const { kind, configuration } = phase
  return { type: 'step', phase: phase.phase, kind, sequence, configuration }
}

function reply(to: Ref<Work>, work: Work | undefined): void {
  to.tell(work ?? { type: 'wait', ms: WAIT_MS })
}
