// Makes lattices ahead of the trainers, with parameters of its own pull: the step's outer derivative is
// computed later, with fresh scores on these lattices (Heigold 2014: outdated statistics).
import { assert } from '../protocol/assert.ts'
import { type Infer, list, plain, ref, struct, u32 } from '../protocol/schema.ts'
import { LatticeMessage, type MadeLattices, type ShardMessage } from '../protocol/training.ts'
import { type ActorDefinition, type Context, next, type Outcome } from '../runtime/actor.ts'
import type { Clock, ComputeThread } from '../runtime/environment.ts'
import { within } from './deadline.ts'
import { type ParameterClient, type ParameterCopy, parameterClient } from './parameter-client.ts'

export const LatticeWorkerConfig = struct({
  shards: list(struct({ ref: ref<ShardMessage>(), offset: u32, length: u32 })),
  /** Lattices that take longer end the process: its compute thread hangs. */
  stepMsMax: u32,
  task: plain,
})
export type LatticeWorkerConfig = Infer<typeof LatticeWorkerConfig>

type Message =
  | LatticeMessage
  | { readonly type: 'opened'; readonly outcome: Outcome<unknown> }
  | { readonly type: 'made'; readonly outcome: Outcome<MadeLattices> }

type Make = Extract<LatticeMessage, { type: 'make' }>

interface Actor {
  readonly client: ParameterClient
  readonly compute: ComputeThread
  readonly clock: Clock
  readonly stepMsMax: number
  readonly copy: ParameterCopy
  readonly isOpen: boolean
  /** Under way; its asker may have asked again meanwhile. */
  readonly making: Make | undefined
  /** One a step, the newest asker's: bounded by the lanes of the trainers. */
  readonly queue: readonly Make[]
}

/** `computeModule` calls `serveCompute` with the methods `open` and `lattices`. */
export function latticeWorker(
  computeModule: string,
): ActorDefinition<LatticeWorkerConfig, Actor, Message> {
  return {
    kind: 'lattice-worker',
    protocol: LatticeMessage,
    config: LatticeWorkerConfig,
    start({ shards, task, stepMsMax }, context) {
      const { environment, ask } = context
      const compute = environment.compute.start(computeModule)
      const count = shards.reduce((sum, { length }) => sum + length, 0)
      const values = new Float32Array(new SharedArrayBuffer(count * 4))
      context.pipe(compute.call('open', task), (outcome) => ({ type: 'opened', outcome }))
      const client = parameterClient(shards, { ask, clock: environment.clock })
      const copy = { values, versions: [] }
      const { clock } = environment
      return {
        client,
        compute,
        clock,
        stepMsMax,
        copy,
        isOpen: false,
        making: undefined,
        queue: [],
      }
    },
    receive(actor, message, context) {
      switch (message.type) {
        case 'make':
          return next(makeNext(enqueue(actor, message), context))
        case 'made':
          if (!message.outcome.ok) throw message.outcome.error
          actor.making?.replyTo.tell(message.outcome.value)
          return next(makeNext({ ...actor, making: undefined }, context))
        case 'opened':
          if (!message.outcome.ok) throw message.outcome.error
          return next(makeNext({ ...actor, isOpen: true }, context))
      }
    },
  }
}

/** A step asked for again (its asker lost patience) takes the place of the former ask: made once. */
function enqueue(actor: Actor, make: Make): Actor {
  const isSame = (other: Make) => other.phase === make.phase && other.sequence === make.sequence
  if (actor.making && isSame(actor.making)) return { ...actor, making: make }
  return { ...actor, queue: [...actor.queue.filter((other) => !isSame(other)), make] }
}

function makeNext(actor: Actor, context: Context<Message>): Actor {
  const [first, ...queue] = actor.queue
  if (!actor.isOpen || actor.making || !first) return actor
  context.pipe(makeLattices(actor, first), (outcome) => ({ type: 'made', outcome }))
  return { ...actor, making: first, queue }
}

async function makeLattices(
  { client, compute, clock, stepMsMax, copy }: Actor,
  make: Make,
): Promise<MadeLattices> {
  await client.pull(copy)
  const { phase, sequence, configuration } = make
  const request = { phase, sequence, configuration, parameters: copy.values }
  const lattices = await within(clock, stepMsMax, compute.call('lattices', request))
  assert(Array.isArray(lattices), 'a list of lattices')
  return { versions: [...copy.versions], lattices }
}
