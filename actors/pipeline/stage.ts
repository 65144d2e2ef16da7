// One subnetwork's share of the passes: it computes what the schedule says, with the parameters that a pass
// was begun with (weight stashing), adds up the gradients of its micro-batches, and pushes them to the
// shards of its own range.
import { encodeGradient, type GradientCodec } from '../../models/compression.ts'
import {
  decideMove,
  inFlight,
  isBack,
  type Move,
  newPass,
  type Pass,
} from '../../models/networks/pipeline-schedule.ts'
import { assert } from '../../protocol/assert.ts'
import type { Settled, SubnetworkMessage } from '../../protocol/pipeline.ts'
import type { Tensor } from '../../protocol/tensor.ts'
import type { Pushed } from '../../protocol/training.ts'
import type { Ask, Outcome } from '../../runtime/actor.ts'
import type { Clock, ComputeThread } from '../../runtime/environment.ts'
import { within } from '../deadline.ts'
import { type ParameterClient, type ParameterCopy, parameterClient } from '../parameter-client.ts'
import { judgeAnswers, type PhaseRequest } from '../trainer.ts'
import type { SubnetworkConfig } from './config.ts'
import { type SpanRing, spanRing } from './spans.ts'

/** What a compute thread is asked for; `gradient` is filled in place. */
export interface MicroRequest {
  readonly pass: number
  readonly micro: number
  readonly micros: number
  readonly phase: number
  readonly sequence: number
  readonly configuration: unknown
  /** Of this subnetwork's range: the same for all micro-batches of a pass, forward and backward. */
  readonly parameters: Float32Array
  /** The first micro-batch that comes back writes it, the others add to it. */
  readonly gradient: Float32Array
  /** Forward: activations of the subnetwork before, where there is one. Backward: what came back. */
  readonly tensor?: Tensor
}

/** `forward` answers activations; `backward` the gradient of the activations that came, where some did. */
export interface MicroResult {
  readonly tensor?: Tensor
  readonly examples: number
  /** Of the heads in this subnetwork: mean over the micro-batch. */
  readonly loss: number
  readonly computeMs: number
  /** 1 where the gradient of the whole minibatch was not finite, and is zero now. */
  readonly nonFinite: number
}

/** `both`: forward and backward at once, which is all that the last subnetwork does. */
export type MicroMethod = 'forward' | 'backward' | 'both'

type Begin = Extract<SubnetworkMessage, { type: 'begin' }>

/** A pass here, from its first message until its pushes are acknowledged. */
interface Flow extends Pass {
  begin: Begin | undefined
  slot: Slot | undefined
  readonly activations: Tensor[]
  readonly gradients: Tensor[]
  examples: number
  loss: number
  computeMs: number
  nonFinite: number
  isPushed: boolean
}

/** Memory of one pass. What still reads or writes it keeps it from the next one. */
interface Slot {
  readonly copy: ParameterCopy
  readonly gradient: Float32Array
  /** Error feedback of a lossy codec, per shard. */
  readonly residuals: Float32Array[]
  isHeld: boolean
  uses: number
}

export type StageNews =
  | { readonly type: 'opened'; readonly outcome: Outcome<unknown> }
  | { readonly type: 'pulled'; readonly of: PassKey; readonly outcome: Outcome<Slot> }
  | {
      readonly type: 'computed'
      readonly of: PassKey
      readonly move: MicroMethod
      readonly outcome: Outcome<MicroResult>
    }
  | { readonly type: 'pushed'; readonly of: PassKey; readonly outcome: Outcome<readonly Pushed[]> }

interface PassKey {
  readonly attempt: number
  readonly pass: number
}

export interface StageWorld {
  readonly ask: Ask
  readonly clock: Clock
  readonly compute: ComputeThread
  /** To another subnetwork of the replica, or to itself. */
  tell(subnetwork: number, message: SubnetworkMessage): void
  pipe<T>(promise: Promise<T>, toNews: (outcome: Outcome<T>) => StageNews): void
}

export interface Stage {
  readonly config: SubnetworkConfig
  readonly client: ParameterClient
  readonly slots: Slot[]
  /** 0 before the first one is joined. */
  attempt: number
  flows: Map<number, Flow>
  isComputing: boolean
  openedPhase: number
  /** Pushes on their way, by step: a step that is done again meanwhile is not pushed again. */
  readonly pushes: Map<string, Promise<readonly Pushed[]>>
  stashedMax: number
  readonly lately: SpanRing
}

export function createStage(config: SubnetworkConfig, world: StageWorld): Stage {
  const [first] = config.shards
  const base = first?.offset ?? 0
  const ranges = config.shards.map(({ ref, offset, length }) => ({
    ref,
    offset: offset - base,
    length,
  }))
  const { ask, clock, compute } = world
  world.pipe(compute.call('open', config.task), (outcome) => ({ type: 'opened', outcome }))
  return {
    config,
    client: parameterClient(ranges, { ask, clock }),
    slots: [],
    attempt: 0,
    flows: new Map(),
    isComputing: false,
    openedPhase: 0,
    pushes: new Map(),
    stashedMax: 0,
    lately: spanRing(clock),
  }
}

/** Everything that is in flight belongs to a former attempt. */
export function joinAttempt(stage: Stage, attempt: number, { compute, pipe }: StageWorld): void {
  stage.attempt = attempt
  for (const { slot } of stage.flows.values()) if (slot) slot.isHeld = false
  stage.flows = new Map()
  pipe(compute.call('abandon', undefined), (outcome) => ({ type: 'opened', outcome }))
}

export function beginPass(stage: Stage, begin: Begin, world: StageWorld): void {
  const flow = flowOf(stage, begin.pass)
  flow.begin = begin
  const { phase, kind, configuration } = begin
  if (stage.openedPhase !== phase) {
    stage.openedPhase = phase
    const request: PhaseRequest = { phase, kind, configuration }
    const opened = world.compute.call('openPhase', request)
    world.pipe(opened, (outcome) => ({ type: 'opened', outcome }))
  }
  advance(stage, world)
}

export function takeActivations(
  stage: Stage,
  { pass, micro, activations }: Extract<SubnetworkMessage, { type: 'forward' }>,
  world: StageWorld,
): void {
  const flow = flowOf(stage, pass)
  if (flow.arrived !== micro) return missed(stage, world)
  flow.arrived += 1
  flow.activations.push(activations)
  advance(stage, world)
}

export function takeGradient(
  stage: Stage,
  { pass, micro, gradient }: Extract<SubnetworkMessage, { type: 'backward' }>,
  world: StageWorld,
): void {
  const flow = flowOf(stage, pass)
  if (flow.returned !== micro) return missed(stage, world)
  flow.returned += 1
  flow.gradients.push(gradient)
  advance(stage, world)
}

/** Neighbours send in order: what is not next follows something that the link did not take. */
function missed({ attempt, config }: Stage, { tell }: StageWorld): void {
  tell(0, { type: 'broken', attempt, cause: `${config.name} has missed a message` })
}

/** Pushes the gradient of a pass that is back; a pass settles when every shard has answered. */
export function pushPass(stage: Stage, pass: number, world: StageWorld): void {
  const flow = stage.flows.get(pass)
  if (!flow?.begin || !flow.slot || flow.isPushed) return
  flow.isPushed = true
  const { begin, slot } = flow
  const step = `${begin.phase}/${begin.sequence}`
  const pushed = stage.pushes.get(step) ?? push(stage, { ...flow, begin, slot })
  stage.pushes.set(step, pushed)
  const forget = (): void => void stage.pushes.delete(step)
  const ended = stage.lately.begin('push', begin.sequence)
  for (const after of [forget, ended]) pushed.then(after, after)
  slot.uses += 1
  const release = (): number => (slot.uses -= 1)
  pushed.then(release, release)
  const of = { attempt: stage.attempt, pass }
  world.pipe(pushed, (outcome) => ({ type: 'pushed', of, outcome }))
}

export function hearNews(stage: Stage, news: StageNews, world: StageWorld): void {
  if (!news.outcome.ok) throw news.outcome.error
  if (news.type === 'opened') return
  const isPresent = news.of.attempt === stage.attempt
  const flow = isPresent ? stage.flows.get(news.of.pass) : undefined
  if (news.type === 'computed') {
    stage.isComputing = false
    if (flow && news.outcome.ok)
      takeResult(stage, { flow, ...news, result: news.outcome.value }, world)
  } else if (news.type === 'pulled') {
    if (flow) flow.isReady = true
  } else if (flow && news.outcome.ok) {
    settle(stage, flow, news.outcome.value, world)
  }
  advance(stage, world)
}

function flowOf(stage: Stage, pass: number): Flow {
  const known = stage.flows.get(pass)
  if (known) return known
  const { micros, subnetwork } = stage.config
  const created: Flow = {
    ...newPass(pass, micros, subnetwork === 0 ? micros : 0),
    begin: undefined,
    slot: undefined,
    activations: [],
    gradients: [],
    examples: 0,
    loss: 0,
    computeMs: 0,
    nonFinite: 0,
    isPushed: false,
  }
  stage.flows.set(pass, created)
  return created
}

function advance(stage: Stage, world: StageWorld): void {
  for (const flow of stage.flows.values()) pullWhenDue(stage, flow, world)
  if (stage.isComputing) return
  const { subnetwork, subnetworks } = stage.config
  const passes = [...stage.flows.values()]
  const move = decideMove({ subnetworks: subnetworks.length, subnetwork, passes })
  if (move.type !== 'wait') compute(stage, move, world)
}

/**
 * The newest parameters there are when the first micro-batch is there; in step, where nothing newer can
 * come, as soon as the pass begins.
 */
function pullWhenDue(stage: Stage, flow: Flow, { pipe }: StageWorld): void {
  const isDue = flow.begin && (flow.arrived > 0 || stage.config.isInStep)
  if (!isDue || flow.slot) return
  const slot = freeSlot(stage)
  if (!slot) return
  flow.slot = slot
  slot.uses += 1
  const pulled = stage.client.pull(slot.copy).then(() => slot)
  const release = (): number => (slot.uses -= 1)
  pulled.then(release, release)
  const of = { attempt: stage.attempt, pass: flow.pass }
  pipe(pulled, (outcome) => ({ type: 'pulled', of, outcome }))
}

/** Passes of a former attempt may still be on their way to the shards: so many again, and no more. */
function freeSlot({ slots, config }: Stage): Slot | undefined {
  const free = slots.find(({ isHeld, uses }) => !isHeld && uses === 0)
  if (!free && slots.length >= 2 * config.lanes) return undefined
  const slot = free ?? newSlot(config)
  if (!free) slots.push(slot)
  slot.isHeld = true
  return slot
}

function newSlot({ shards, codec }: SubnetworkConfig): Slot {
  const count = shards.reduce((sum, { length }) => sum + length, 0)
  const shared = () => new Float32Array(new SharedArrayBuffer(count * 4))
  return {
    copy: { values: shared(), versions: [] },
    gradient: shared(),
    residuals: shards.map(({ length }) => new Float32Array(codec === 'float32' ? 0 : length)),
    isHeld: false,
    uses: 0,
  }
}

function compute(stage: Stage, move: Exclude<Move, { type: 'wait' }>, world: StageWorld): void {
  const { config } = stage
  const { pass, micro, type } = move
  const flow = stage.flows.get(pass)
  assert(flow?.begin !== undefined && flow.slot !== undefined, 'a pass that moves has begun')
  const { begin, slot } = flow
  const isLast = config.subnetwork === config.subnetworks.length - 1
  const tensor = (type === 'forward' ? flow.activations : flow.gradients).shift()
  const request: MicroRequest = {
    pass,
    micro,
    micros: flow.micros,
    phase: begin.phase,
    sequence: begin.sequence,
    configuration: begin.configuration,
    parameters: slot.copy.values,
    gradient: slot.gradient,
    ...(tensor && { tensor }),
  }
  const method: MicroMethod = isLast ? 'both' : type
  if (type === 'forward') flow.forwarded += 1
  stage.stashedMax = Math.max(stage.stashedMax, inFlight({ passes: [...stage.flows.values()] }))
  stage.isComputing = true
  const computed = world.compute.call(method, request) as Promise<MicroResult>
  slot.uses += 1
  const release = (): number => (slot.uses -= 1)
  const ended = stage.lately.begin(method, begin.sequence)
  for (const after of [release, ended]) computed.then(after, after)
  const what = 'the compute thread finished no micro-batch'
  const of = { attempt: stage.attempt, pass }
  world.pipe(within(world.clock, config.stepMsMax, computed, what), (outcome) => ({
    type: 'computed',
    of,
    move: method,
    outcome,
  }))
}

interface Computed {
  readonly flow: Flow
  readonly of: PassKey
  readonly move: MicroMethod
  readonly result: MicroResult
}

function takeResult(stage: Stage, { flow, of, move, result }: Computed, world: StageWorld): void {
  const { config } = stage
  flow.computeMs += result.computeMs
  const { tensor } = result
  if (move === 'forward') {
    assert(tensor !== undefined, 'a forward pass has activations')
    const micro = flow.forwarded - 1
    world.tell(config.subnetwork + 1, { type: 'forward', ...of, micro, activations: tensor })
    return
  }
  const micro = flow.backwarded
  flow.backwarded += 1
  flow.examples += result.examples
  flow.loss += result.loss * result.examples
  flow.nonFinite = Math.max(flow.nonFinite, result.nonFinite)
  if (tensor && config.subnetwork > 0) {
    world.tell(config.subnetwork - 1, { type: 'backward', ...of, micro, gradient: tensor })
  }
  if (!isBack(flow)) return
  if (config.isInStep) world.tell(0, { type: 'ready', ...of, subnetwork: config.subnetwork })
  else pushPass(stage, flow.pass, world)
}

async function push(
  { config, client }: Stage,
  { begin, slot, examples }: Flow & { readonly begin: Begin; readonly slot: Slot },
): Promise<readonly Pushed[]> {
  const encoded = client.shards.map(({ offset, length }, shard) => {
    const residual = slot.residuals[shard]?.slice() ?? new Float32Array(0)
    const part = slot.gradient.subarray(offset, offset + length)
    return { gradient: encodeGradient(config.codec as GradientCodec, part, residual), residual }
  })
  const answers = await client.push({
    trainer: config.name,
    incarnation: config.incarnation,
    phase: begin.phase,
    sequence: begin.sequence,
    weight: examples,
    versions: slot.copy.versions.map((seen) => ({ lattice: seen, outer: seen, inner: seen })),
    gradients: encoded.map(({ gradient }) => gradient),
  })
  encoded.forEach(({ residual }, shard) => {
    if (answers[shard]?.verdict === 'applied') slot.residuals[shard] = residual
  })
  return answers
}

function settle(stage: Stage, flow: Flow, answers: readonly Pushed[], { tell }: StageWorld): void {
  const { attempt, config } = stage
  stage.flows.delete(flow.pass)
  if (flow.slot) flow.slot.isHeld = false
  const settled: Settled = {
    verdict: judgeAnswers(answers),
    examples: flow.examples,
    loss: flow.loss / Math.max(1, flow.examples),
    computeMs: flow.computeMs,
    nonFinite: flow.nonFinite,
  }
  const { subnetwork } = config
  tell(0, { type: 'settled', attempt, pass: flow.pass, subnetwork, settled })
}
