// A trainer: takes a step from the source, pulls the parameters, has the compute thread turn examples
// into a gradient, pushes it to every shard, and reports the step finished. Examples are read beside
// the trainer; only gradients and parameters travel (US11557277B2, US11854534B2).
//
// With two lanes one step's push and pull travel while the other step computes; each lane owns its
// buffers, so a gradient that was sent is not written before it is acknowledged. Steps of frames overlap
// freely. Steps of sequences and images take turns: a lane pulls when the other has sent its push, and since a shard
// hears one trainer's messages in order, what it pulls has that push in it. Nothing is waited for but one
// round trip, and no gradient is staler than with one lane.
import { encodeGradient, type GradientCodec } from '../models/compression.ts'
import { assert } from '../protocol/assert.ts'
import {
  type Infer,
  list,
  literal,
  optional,
  plain,
  ref,
  struct,
  text,
  u32,
  union,
} from '../protocol/schema.ts'
import type {
  EncodedGradient,
  LatticeMessage,
  MadeLattices,
  Pushed,
  ShardMessage,
  SourceMessage,
  StepKind,
  Versions,
  Work,
} from '../protocol/training.ts'
import {
  type ActorDefinition,
  type Ask,
  type Context,
  next,
  type Outcome,
} from '../runtime/actor.ts'
import type { ComputeThread } from '../runtime/environment.ts'
import type { Span } from '../runtime/spans.ts'
import { within as inTime } from './deadline.ts'
import {
  type ParameterClient,
  type ParameterCopy,
  parameterClient,
  patience,
  patiently,
} from './parameter-client.ts'
import type { Refusal } from './shard-state.ts'

export const TrainerConfig = struct({
  name: text,
  incarnation: u32,
  source: ref<SourceMessage>(),
  shards: list(struct({ ref: ref<ShardMessage>(), offset: u32, length: u32 })),
  lattices: optional(ref<LatticeMessage>()),
  lanes: u32,
  /** A step that computes longer ends the process: its compute thread hangs. */
  stepMsMax: u32,
  codec: literal('float32', 'float16', 'int8'),
  /** Handed to the compute thread's `open`. */
  task: plain,
})
export type TrainerConfig = Infer<typeof TrainerConfig>

export interface PhaseRequest {
  readonly phase: number
  readonly kind: StepKind
  readonly configuration: unknown
}

/** What a compute thread is asked for; `gradient` is filled in place. */
export interface StepRequest extends PhaseRequest {
  readonly sequence: number
  readonly parameters: Float32Array
  readonly gradient: Float32Array
  readonly lattices?: MadeLattices['lattices']
}

export interface StepResult {
  /** Frames, or images. */
  readonly examples: number
  /** Mean over the examples of the step. */
  readonly loss: number
  /** Milliseconds inside ONNX Runtime. */
  readonly computeMs: number
  /** Frames whose derivative was zeroed (frame rejection). */
  readonly rejected: number
  /** Utterances whose criterion was not finite: their gradient is zero. */
  readonly nonFinite: number
}

type Finished = NonNullable<Extract<SourceMessage, { type: 'next' }>['finished']>

interface Lane {
  readonly index: number
  readonly client: ParameterClient
  /** Of the step under way, where it is traced. */
  span: Span | undefined
  readonly copy: ParameterCopy
  readonly gradient: Float32Array
  /** Error feedback of a lossy codec, per shard. */
  readonly residuals: Float32Array[]
  finished: Finished | undefined
}

interface Trainer {
  readonly config: TrainerConfig
  /** The phase that the compute thread was told of. */
  openedPhase: number
  /** Resolves when the lane that had the last turn has sent its push. */
  turn: Promise<void>
  readonly compute: ComputeThread
  readonly lanes: readonly Lane[]
}

export const TrainerMessage = union({
  status: {},
  /** For chaos: the compute thread loses its device, or hangs. */
  fail: { how: literal('fault', 'hang') },
})
export type TrainerMessage = Infer<typeof TrainerMessage>
type Message =
  | TrainerMessage
  | { readonly type: 'opened'; readonly outcome: Outcome<unknown> }
  | { readonly type: 'phase-opened'; readonly outcome: Outcome<unknown> }
  | { readonly type: 'failed'; readonly outcome: Outcome<unknown> }
  | { readonly type: 'stepped'; readonly lane: number; readonly outcome: Outcome<void> }

/** A trainer that was declared dead, and came back: it must end, its successor is at work. */
export class FencedError extends Error {
  override readonly name = 'FencedError'
}

export type TrainerDefinition = ActorDefinition<TrainerConfig, Trainer, Message>

export const sequenceTrainer = (computeModule: string): TrainerDefinition =>
  trainer('sequence-trainer', computeModule)

export const imageTrainer = (computeModule: string): TrainerDefinition =>
  trainer('image-trainer', computeModule)

export const modelTrainer = (computeModule: string): TrainerDefinition =>
  trainer('model-trainer', computeModule)

/** `computeModule` calls `serveCompute` with the methods `open`, `openPhase`, `step` and `fail`. */
function trainer(kind: string, computeModule: string): TrainerDefinition {
  return {
    kind,
    protocol: TrainerMessage,
    config: TrainerConfig,
    start(config, context) {
      const { environment } = context
      const compute = environment.compute.start(computeModule)
      const turn = Promise.resolve()
      const lanes = lanesOf(config, context)
      const trainer = { config, compute, openedPhase: 0, turn, lanes }
      context.pipe(compute.call('open', config.task), (outcome) => ({ type: 'opened', outcome }))
      // The thread serves calls in order: the first lane's parameters come while it opens, and those of
      // the others must not delay them.
      const [first] = lanes
      if (first) startStep(trainer, first, context)
      return trainer
    },
    receive(trainer, message, context) {
      if (message.type === 'status') return next(trainer)
      if (message.type === 'fail') {
        const failed = trainer.compute.call('fail', message.how)
        context.pipe(failed, (outcome) => ({ type: 'failed', outcome }))
        return next(trainer)
      }
      if (!message.outcome.ok) throw message.outcome.error
      if (message.type === 'phase-opened' || message.type === 'failed') return next(trainer)
      const { lanes } = trainer
      const ready = message.type === 'opened' ? lanes.slice(1) : [lanes[message.lane]]
      for (const lane of ready) if (lane) startStep(trainer, lane, context)
      return next(trainer)
    },
  }
}

function startStep(trainer: Trainer, lane: Lane, context: Context<Message>): void {
  context.pipe(takeStep(trainer, lane, context), (outcome) => ({
    type: 'stepped',
    lane: lane.index,
    outcome,
  }))
}

async function takeStep(trainer: Trainer, lane: Lane, context: Context<Message>) {
  const { config } = trainer
  const { clock } = context.environment
  const { name, incarnation } = config
  const finished = lane.finished
  lane.span = context.span('step')
  const work = await patiently(clock, patience, () =>
    within(lane, () =>
      context.ask(
        config.source,
        {
          type: 'next',
          trainer: name,
          incarnation,
          lane: lane.index,
          ...(finished && { finished }),
        },
        { timeoutMs: patience.askTimeoutMs },
      ),
    ),
  )
  lane.finished = undefined
  if (work.type === 'wait') {
    await new Promise<void>((resolve) => clock.after(work.ms, resolve))
    return
  }
  const started = clock.now()
  const result = await computeAndPush(trainer, lane, work, context)
  lane.span?.end()
  if (!result) return
  const { phase, sequence } = work
  lane.finished = { phase, sequence, ...result, wallMs: clock.now() - started }
}

/** Computes a step until its gradient is taken; nothing where the step is moot. */
async function computeAndPush(
  trainer: Trainer,
  lane: Lane,
  work: Extract<Work, { type: 'step' }>,
  context: Context<Message>,
): Promise<StepResult | undefined> {
  const { config, compute } = trainer
  const { client } = lane
  const { phase, kind, sequence, configuration } = work
  if (trainer.openedPhase !== phase) openPhase(trainer, work, context)
  /** Shards that have this step: what they are sent again they will not apply. */
  const taken = new Set<number>()
  for (;;) {
    const made = await latticesFor(trainer, lane, work, context)
    const endTurn = kind === 'frames' ? () => {} : await takeTurn(trainer)
    await client.pull(lane.copy)
    const { values: parameters, versions } = lane.copy
    const { gradient } = lane
    const request: StepRequest = {
      phase,
      kind,
      sequence,
      configuration,
      parameters,
      gradient,
      ...(made && { lattices: made.lattices }),
    }
    const { clock } = context.environment
    const computing = lane.span?.child('compute')
    const stepped = compute.call('step', request)
    const what = 'the compute thread finished no step'
    const result = (await inTime(clock, config.stepMsMax, stepped, what)) as StepResult
    computing?.end()
    const encoded = encodeGradients(trainer, lane)
    const pushed = client.push({
      trainer: config.name,
      incarnation: config.incarnation,
      phase,
      sequence,
      weight: result.examples,
      versions: versions.map((seen, shard) => versionsOf(seen, made?.versions[shard])),
      gradients: encoded.map(({ gradient }) => gradient),
    })
    endTurn()
    const answers = await pushed
    encoded.forEach(({ residual }, shard) => {
      if (answers[shard]?.verdict === 'refused' || taken.has(shard)) return
      taken.add(shard)
      lane.residuals[shard] = residual
    })
    const verdict = judgeAnswers(answers)
    if (verdict === 'taken') return result
    if (verdict === 'moot') return undefined
  }
}

function openPhase(
  trainer: Trainer,
  { phase, kind, configuration }: Extract<Work, { type: 'step' }>,
  context: Context<Message>,
): void {
  trainer.openedPhase = phase
  const request: PhaseRequest = { phase, kind, configuration }
  context.pipe(trainer.compute.call('openPhase', request), (outcome) => ({
    type: 'phase-opened',
    outcome,
  }))
}

/** Waits for the lane before; answers how to let the next one go on. A step that fails ends its trainer. */
async function takeTurn(trainer: Trainer): Promise<() => void> {
  const before = trainer.turn
  const { promise, resolve } = Promise.withResolvers<void>()
  trainer.turn = promise
  await before
  return resolve
}

/** What the answers of all shards to one push mean for the trainer. */
export function judgeAnswers(answers: readonly Pushed[]): 'taken' | 'again' | 'moot' {
  const refusals = answers
    .filter(({ verdict }) => verdict === 'refused')
    .map((a) => a.reason as Refusal)
  if (refusals.length === 0) return 'taken'
  for (const reason of refusals) {
    switch (reason) {
      case 'former-incarnation':
        throw new FencedError('a shard has heard of this trainer’s successor')
      case 'not-finite':
      case 'wrong-length':
        throw new Error(`a shard refused the gradient: ${reason}`)
      case 'other-phase':
        return 'moot'
      case 'stale':
      case 'baseline-ahead':
        break
    }
  }
  return 'again'
}

async function latticesFor(
  { config }: Trainer,
  lane: Lane,
  { phase, kind, sequence, configuration }: Extract<Work, { type: 'step' }>,
  context: Context<Message>,
): Promise<MadeLattices | undefined> {
  const { lattices } = config
  if (!lattices || kind !== 'sequences') return undefined
  return await patiently(context.environment.clock, patience, () =>
    within(lane, () =>
      context.ask(
        lattices,
        { type: 'make', phase, sequence, configuration },
        { timeoutMs: patience.askTimeoutMs },
      ),
    ),
  )
}

// Forward pass, rescoring and backpropagation of a step use the same pull; only lattices may be older.
function versionsOf(seen: number, lattice: number = seen): Versions {
  return { lattice, outer: seen, inner: seen }
}

/** Per shard, with the error that is to be fed back once the shard has taken the gradient, not before. */
function encodeGradients(
  { config }: Trainer,
  lane: Lane,
): { gradient: EncodedGradient; residual: Float32Array }[] {
  return config.shards.map(({ offset, length }, index) => {
    const before = lane.residuals[index]
    assert(before !== undefined, 'a residual per shard')
    const residual = before.slice()
    const part = lane.gradient.subarray(offset, offset + length)
    return { gradient: encodeGradient(config.codec as GradientCodec, part, residual), residual }
  })
}

function lanesOf({ lanes, shards, codec }: TrainerConfig, context: Context<Message>): Lane[] {
  const count = shards.reduce((sum, { length }) => sum + length, 0)
  const shared = () => new Float32Array(new SharedArrayBuffer(count * 4))
  return Array.from({ length: lanes }, (_, index) => laneOf(index))

  function laneOf(index: number): Lane {
    const { clock } = context.environment
    const ask = ((...question: Parameters<Ask>) =>
      within(lane, () => context.ask(...question))) as Ask
    const lane: Lane = {
      index,
      client: parameterClient(shards, { ask, clock }),
      span: undefined,
      copy: { values: shared(), versions: [] },
      gradient: shared(),
      residuals: shards.map(({ length }) => new Float32Array(codec === 'float32' ? 0 : length)),
      finished: undefined,
    }
    return lane
  }
}

/** What is sent is part of the step's trace, where it has one. */
function within<T>({ span }: Lane, send: () => T): T {
  return span ? span.within(send) : send()
}
