// One subnetwork of a replica: a link of a pipeline. Activations go forward and gradients come back between
// neighbours; each pulls its own parameters and pushes its own gradients (US9911069B1 and its family have
// the modules; PipeDream, Narayanan et al. 2019, the schedule and the stashed weights).
//
// Nothing is lost or doubled whoever dies: the source gives out a step until it is reported finished, the
// head reports it when every subnetwork's shards have answered, and a shard takes a step once.
import { SubnetworkMessage } from '../protocol/pipeline.ts'
import { unreachable } from '../protocol/assert.ts'
import { type ActorDefinition, type Context, next, type Outcome } from '../runtime/actor.ts'
import type { ComputeThread } from '../runtime/environment.ts'
import { SubnetworkConfig } from './pipeline/config.ts'
import {
  createHead,
  type Head,
  type HeadNews,
  type HeadWorld,
  hearHeadNews,
  hearJoined,
  hearReady,
  hearSettled,
  nextAttempt,
} from './pipeline/head.ts'
import {
  beginPass,
  createStage,
  hearNews,
  joinAttempt,
  pushPass,
  type Stage,
  type StageNews,
  type StageWorld,
  takeActivations,
  takeGradient,
} from './pipeline/stage.ts'

interface Subnetwork {
  readonly stage: Stage
  readonly head: Head | undefined
  readonly compute: ComputeThread
}

type News = StageNews | HeadNews | { readonly type: 'failed'; readonly outcome: Outcome<unknown> }
type Message = SubnetworkMessage | News

export type SubnetworkDefinition = ActorDefinition<SubnetworkConfig, Subnetwork, Message>

/** `computeModule` calls `serveCompute` with `open`, `openPhase`, `forward`, `backward`, `both`, `abandon`, `fail`. */
export function imageSubnetwork(computeModule: string): SubnetworkDefinition {
  return {
    kind: 'image-subnetwork',
    protocol: SubnetworkMessage,
    config: SubnetworkConfig,
    start(config, context) {
      const compute = context.environment.compute.start(computeModule)
      const stage = createStage(config, worldOf(config, compute, context))
      const isHead = config.subnetwork === 0
      const head = isHead ? createHead(config, worldOf(config, compute, context)) : undefined
      return { stage, head, compute }
    },
    receive(subnetwork, message, context) {
      handle(subnetwork, message, context)
      return next(subnetwork)
    },
    down(subnetwork, { ref, reason }, context) {
      const { stage, head } = subnetwork
      const cause = `${ref.address.member}: ${reason.type}`
      breakAttempt(subnetwork, { attempt: (head ?? stage).attempt, cause }, context)
      return next(subnetwork)
    },
  }
}

function handle(subnetwork: Subnetwork, message: Message, context: Context<Message>): void {
  const { stage, head, compute } = subnetwork
  const { config } = stage
  const world = worldOf(config, compute, context)
  switch (message.type) {
    case 'join':
      return join(stage, message.attempt, world)
    case 'status':
      return void message.replyTo.tell({
        attempt: stage.attempt,
        passes: stage.flows.size,
        stashedMax: stage.stashedMax,
        copies: stage.slots.length,
      })
    case 'timeline':
      return void message.replyTo.tell(stage.lately.recent())
    case 'fail':
      return context.pipe(compute.call('fail', message.how), (outcome) => ({
        type: 'failed',
        outcome,
      }))
    case 'failed':
      if (!message.outcome.ok) throw message.outcome.error
      return
    case 'opened':
    case 'pulled':
    case 'computed':
    case 'pushed':
      return hearNews(stage, message, world)
    case 'gather':
    case 'ask':
    case 'given':
      return void (head && hearHeadNews(head, message, world))
    case 'broken':
      return breakAttempt(subnetwork, message, context)
    case 'joined':
    case 'ready':
    case 'settled':
      return void (head?.attempt === message.attempt && handleAsHead(head, message, world))
    default:
      return handleInAttempt(stage, message, { world, context })
  }
}

type ToHead = Extract<SubnetworkMessage, { type: 'joined' | 'ready' | 'settled' }>
type InAttempt = Extract<
  SubnetworkMessage,
  { type: 'start' | 'begin' | 'forward' | 'backward' | 'push' }
>

function handleAsHead(head: Head, message: ToHead, world: World): void {
  switch (message.type) {
    case 'joined':
      return hearJoined(head, message.subnetwork, world)
    case 'ready':
      return hearReady(head, message, world)
    case 'settled':
      return hearSettled(head, message, world)
    default:
      return unreachable(message)
  }
}

function handleInAttempt(
  stage: Stage,
  message: InAttempt,
  { world, context }: { world: World; context: Context<Message> },
): void {
  const { config, attempt } = stage
  if (message.attempt !== attempt) {
    // A life that has not joined stands in the place of one that had.
    const cause = `${config.name} has not joined`
    if (message.attempt > attempt)
      world.tell(0, { type: 'broken', attempt: message.attempt, cause })
    return
  }
  switch (message.type) {
    case 'start': {
      const after = config.subnetworks[config.subnetwork + 1]
      if (after && config.subnetwork > 0) context.watch(after)
      return
    }
    case 'begin':
      return beginPass(stage, message, world)
    case 'forward':
      return takeActivations(stage, message, world)
    case 'backward':
      return takeGradient(stage, message, world)
    case 'push':
      return pushPass(stage, message.pass, world)
    default:
      return unreachable(message)
  }
}

function join(stage: Stage, attempt: number, world: World): void {
  if (attempt < stage.attempt) return
  const { subnetwork } = stage.config
  if (attempt > stage.attempt) {
    world.unwatchOthers()
    joinAttempt(stage, attempt, world)
  }
  world.tell(0, { type: 'joined', attempt, subnetwork })
}

/** What was told of the present attempt: the head begins the next one, the others tell the head. */
function breakAttempt(
  { stage, head, compute }: Subnetwork,
  { attempt, cause }: { attempt: number; cause: string },
  context: Context<Message>,
): void {
  const world = worldOf(stage.config, compute, context)
  if (!head) return world.tell(0, { type: 'broken', attempt, cause })
  if (attempt !== head.attempt || !head.isRunning) return
  context.log.info('the replica begins anew', { attempt, cause })
  world.unwatchOthers()
  nextAttempt(head, world)
}

interface World extends StageWorld, HeadWorld {
  unwatchOthers(): void
  pipe<T>(promise: Promise<T>, toNews: (outcome: Outcome<T>) => StageNews & HeadNews): void
}

function worldOf(
  { subnetwork, subnetworks }: SubnetworkConfig,
  compute: ComputeThread,
  context: Context<Message>,
): World {
  const others = subnetworks.filter((_, index) => index !== subnetwork)
  return {
    ask: context.ask,
    clock: context.environment.clock,
    compute,
    tell(to, message) {
      const sent = subnetworks[to]?.tell(message)
      // The join is said again; of everything else the head must know, so that it is computed again.
      if (sent === 'accepted' || message.type === 'join' || message.type === 'broken') return
      if (!('attempt' in message)) return
      const cause = `subnetwork ${to}: ${sent}`
      subnetworks[0]?.tell({ type: 'broken', attempt: message.attempt, cause })
    },
    watchOthers: () => others.forEach(context.watch),
    unwatchOthers: () => others.forEach(context.unwatch),
    after: (ms, news) => void context.after(ms, news),
    pipe: (promise, toNews) => context.pipe(promise, toNews),
  }
}
