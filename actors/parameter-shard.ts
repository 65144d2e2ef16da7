// A parameter shard: owns a contiguous range of the parameters, its optimizer state and an averaged
// copy. Every push is decided, journalled, applied, then acknowledged: in this order, so what was
// acknowledged survives SIGKILL and nothing is applied twice.

import { type Infer, struct, text, u32 } from '../protocol/schema.ts'
import { tensorOf } from '../protocol/tensor.ts'
import {
  type Adjusted,
  type Adjustment,
  type PhaseStart,
  type Pulled,
  type Push,
  type Pushed,
  ShardMessage,
  type ShardStatus,
} from '../protocol/training.ts'
import { type ActorDefinition, type Context, next, type Ref } from '../runtime/actor.ts'
import { printPolicy } from '../models/optimizers/index.ts'
import {
  adjustShard,
  applyPush,
  beginPhase,
  decidePush,
  fenceTrainer,
  holdPush,
  judgeAdjustment,
  learningRateOf,
  mayGoOn,
  recipeOf,
  type ShardState,
} from './shard-state.ts'
import { openShardStore, type ShardStore } from './shard-store.ts'

export const ShardConfig = struct({
  folder: text,
  length: u32,
  incarnation: u32,
  /** A snapshot is written when the journal holds more. */
  journalBytesMax: u32,
})
export type ShardConfig = Infer<typeof ShardConfig>

interface Actor {
  readonly config: ShardConfig
  readonly store: ShardStore
  readonly recoveredMs: number
  /** Pushes whose answer waits: for their round (hard-sync) or for slower trainers (SSP). */
  waiting: readonly Waiting[]
  /** Copies for pullers, made once a version (INV: only the shard writes its range, in place). */
  copies: { version: number; live?: Float32Array; average?: Float32Array }
}

interface Waiting {
  readonly push: Push
  readonly replyTo: Ref<Pushed>
  /** Absent while the round is not complete. */
  readonly pushed?: Pushed
}

export const parameterShard: ActorDefinition<ShardConfig, Actor, ShardMessage> = {
  kind: 'parameter-shard',
  protocol: ShardMessage,
  config: ShardConfig,
  start(config, { environment }) {
    const started = environment.clock.now()
    const store = openShardStore(environment.disk, config)
    const recoveredMs = environment.clock.now() - started
    return { config, store, recoveredMs, waiting: [], copies: { version: -1 } }
  },
  receive(actor, message, context) {
    const { store } = actor
    switch (message.type) {
      case 'push':
        receivePush(actor, message.push, message.replyTo)
        break
      case 'pull':
        message.replyTo.tell(pulledSince(actor, message.have, message.copy))
        break
      case 'begin':
        begin(actor, message.start)
        message.replyTo.tell(statusOf(actor))
        break
      case 'fence':
        fence(actor, message)
        message.replyTo.tell(statusOf(actor))
        break
      case 'checkpoint':
        store.checkpoint()
        message.replyTo.tell(statusOf(actor))
        break
      case 'status':
        message.replyTo.tell(statusOf(actor))
        break
      case 'adjust':
        message.replyTo.tell(adjust(actor, message.adjustment))
    }
    checkpointWhenLong(actor, context)
    return next(actor)
  },
  stopped: ({ store }) => store.close(),
}

function receivePush(actor: Actor, push: Push, replyTo: Ref<Pushed>): void {
  const { shard } = actor.store
  const decided = decidePush(shard, push)
  switch (decided.type) {
    case 'answer': {
      const { pushed } = decided
      count(shard, pushed.verdict)
      // Asked again while it waits for slower trainers (SSP), it goes on waiting.
      if (pushed.verdict === 'duplicate') return wait(actor, { push, replyTo, pushed })
      replyTo.tell(pushed)
      return
    }
    case 'accept': {
      actor.store.append({ type: 'push', push })
      const pushed = applyPush(shard, push, decided.scale)
      return wait(actor, { push, replyTo, pushed })
    }
    case 'hold':
      hold(actor, push, decided.scale, replyTo)
  }
}

// A held push that is sent again (its asker timed out) is not journalled again: the newest asker waits.
function hold(actor: Actor, push: Push, scale: number, replyTo: Ref<Pushed>): void {
  const { shard } = actor.store
  wait(actor, { push, replyTo })
  if (shard.held.has(push.sequence)) return
  actor.store.append({ type: 'push', push })
  answerRound(actor, holdPush(shard, push, scale))
}

function answerRound(actor: Actor, pushed: Pushed | undefined): void {
  if (!pushed) return
  actor.waiting = actor.waiting.map((waiting) => ({ pushed, ...waiting }))
  answerWaiting(actor)
}

function wait(actor: Actor, waiting: Waiting): void {
  const { sequence } = waiting.push
  const others = actor.waiting.filter(({ push }) => push.sequence !== sequence)
  actor.waiting = [...others, waiting]
  answerWaiting(actor)
}

function answerWaiting(actor: Actor): void {
  const { shard } = actor.store
  const still: Waiting[] = []
  for (const waiting of actor.waiting) {
    const { push, replyTo, pushed } = waiting
    if (pushed && mayGoOn(shard, push.trainer)) replyTo.tell(pushed)
    else still.push(waiting)
  }
  actor.waiting = still
}

function begin(actor: Actor, start: PhaseStart): void {
  const { shard } = actor.store
  if (start.phase <= shard.phase) return
  // What cannot be begun must not be journalled: every later life would fail on it.
  recipeOf(start, shard.parameters.length)
  actor.store.append({ type: 'begin', start })
  beginPhase(shard, start)
  actor.waiting = []
}

function fence(
  actor: Actor,
  { trainer, incarnation }: { trainer: string; incarnation: number },
): void {
  actor.store.append({ type: 'fence', trainer, incarnation })
  fenceTrainer(actor.store.shard, trainer, incarnation)
  const isFormer = ({ push }: Waiting) => push.trainer === trainer && push.incarnation < incarnation
  actor.waiting = actor.waiting.filter((waiting) => !isFormer(waiting))
  answerWaiting(actor)
}

// Heard again (its asker timed out) it is not applied again: a rate would be scaled twice.
function adjust(actor: Actor, adjustment: Adjustment): Adjusted {
  const { store } = actor
  const { shard } = store
  if (adjustment.change <= shard.change) return statusOf(actor)
  const refusal = judgeAdjustment(shard, adjustment)
  if (refusal !== '') return { ...statusOf(actor), refusal }
  store.append({ type: 'adjust', adjustment })
  answerRound(actor, adjustShard(shard, adjustment))
  // By another policy, or without who was the slowest, others may go on.
  answerWaiting(actor)
  return statusOf(actor)
}

function pulledSince(actor: Actor, have: number, which: 'live' | 'average'): Pulled {
  const { shard } = actor.store
  const { version } = shard
  if (have === version) return { version }
  if (actor.copies.version !== version) actor.copies = { version }
  const source = which === 'live' ? shard.parameters : shard.average
  const copy = actor.copies[which] ?? source.slice()
  actor.copies[which] = copy
  return { version, parameters: tensorOf(copy) }
}

function statusOf({ store, recoveredMs }: Actor): ShardStatus {
  const { shard, journalBytes } = store
  const { recipe } = shard
  return {
    phase: shard.phase,
    version: shard.version,
    appliedBelow: shard.applied.below,
    appliedAbove: [...shard.applied.above],
    updates: shard.counts,
    staleness: shard.staleness,
    journalBytes,
    recoveredMs,
    learningRate: learningRateOf(shard),
    policy: recipe ? printPolicy(recipe.policy) : '',
    optimizer: recipe?.optimizer.name ?? '',
    trainers: recipe?.start.trainers ?? [],
    held: [...shard.held.keys()],
    change: shard.change,
  }
}

function count(shard: ShardState, verdict: Pushed['verdict']): void {
  const { counts } = shard
  if (verdict === 'duplicate') shard.counts = { ...counts, duplicates: counts.duplicates + 1 }
  if (verdict === 'refused') shard.counts = { ...counts, refused: counts.refused + 1 }
}

function checkpointWhenLong({ config, store }: Actor, { log }: Context<ShardMessage>): void {
  if (store.journalBytes <= config.journalBytesMax) return
  store.checkpoint()
  log.info('snapshot written', { version: store.shard.version })
}
