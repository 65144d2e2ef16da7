// Makes lattices ahead of the trainers, with parameters of its own pull: the step's outer derivative is
// computed later, with fresh scores on these lattices (Heigold 2014: outdated statistics).
import { assert } from '../protocol/assert.ts'
import { type Infer, list, plain, ref, struct, u32 } from '../protocol/schema.ts'
import { LatticeMessage, type MadeLattices, type ShardMessage } from '../protocol/training.ts'
import {
  type ActorDefinition,
  type Context,
  next,
  type Outcome,
  type Ref,
} from '../runtime/actor.ts'
import type { ComputeThread } from '../runtime/environment.ts'
import { type ParameterClient, type ParameterCopy, parameterClient } from './parameter-client.ts'

export const LatticeWorkerConfig = struct({
  shards: list(struct({ ref: ref<ShardMessage>(), offset: u32, length: u32 })),
  task: plain,
})
export type LatticeWorkerConfig = Infer<typeof LatticeWorkerConfig>

type Message =
  | LatticeMessage
  | { readonly type: 'opened'; readonly outcome: Outcome<unknown> }
  | {
      readonly type: 'made'
      readonly outcome: Outcome<MadeLattices>
      readonly replyTo: Ref<MadeLattices>
    }

type Make = Extract<LatticeMessage, { type: 'make' }>

interface Actor {
  readonly client: ParameterClient
  readonly compute: ComputeThread
  readonly copy: ParameterCopy
  readonly isBusy: boolean
  /** Bounded by the lanes of the trainers that ask. */
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
    start({ shards, task }, context) {
      const { environment, ask } = context
      const compute = environment.compute.start(computeModule)
      const count = shards.reduce((sum, { length }) => sum + length, 0)
      const values = new Float32Array(new SharedArrayBuffer(count * 4))
      context.pipe(compute.call('open', task), (outcome) => ({ type: 'opened', outcome }))
      const client = parameterClient(shards, { ask, clock: environment.clock })
      return { client, compute, copy: { values, versions: [] }, isBusy: true, queue: [] }
    },
    receive(actor, message, context) {
      switch (message.type) {
        case 'make':
          return next(makeNext({ ...actor, queue: [...actor.queue, message] }, context))
        case 'made':
          if (!message.outcome.ok) throw message.outcome.error
          message.replyTo.tell(message.outcome.value)
          return next(makeNext({ ...actor, isBusy: false }, context))
        case 'opened':
          if (!message.outcome.ok) throw message.outcome.error
          return next(makeNext({ ...actor, isBusy: false }, context))
      }
    },
  }
}

function makeNext(actor: Actor, context: Context<Message>): Actor {
  const [first, ...queue] = actor.queue
  if (actor.isBusy || !first) return actor
  context.pipe(makeLattices(actor, first), (outcome) => ({
    type: 'made',
    outcome,
    replyTo: first.replyTo,
  }))
  return { ...actor, isBusy: true, queue }
}

async function makeLattices({ client, compute, copy }: Actor, make: Make): Promise<MadeLattices> {
  await client.pull(copy)
  const { phase, sequence, configuration } = make
  const request = { phase, sequence, configuration, parameters: copy.values }
  const lattices = await compute.call('lattices', request)
  assert(Array.isArray(lattices), 'a list of lattices')
  return { versions: [...copy.versions], lattices }
}
