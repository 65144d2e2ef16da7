// A pool is a router that spawns its routees: equal actors, its supervised children.
import type { Ref } from '../../protocol/address.ts'
import { type Infer, integer, number, text, union } from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, type Down, next, type SpawnOptions } from '../actor.ts'
import type { RestartPolicy } from '../supervision.ts'
import type { Picker } from './picker.ts'
import { createRoutees, type Routees, type RouterMessage, withControl } from './routees.ts'

const PoolControl = union({
  /** So many routees from now on; each one too many ends when it has nothing left to do. */
  'pool-resize': { size: integer },
  /** To itself: has a routee that is to go finished? */
  'pool-retire': { address: text, until: number },
})
export type PoolMessage = Infer<typeof PoolControl>
/** What a pool understands beside the protocol of its routees. */
export type PoolControl = PoolMessage | RouterMessage

export interface PoolOfOptions<Message, Config> extends Omit<SpawnOptions, 'name' | 'restart'> {
  /** From 0 to 4,096. */
  readonly size: number
  readonly picker: Picker<Message>
  /**
   * Of the routees; default permanent. One that ends for good under another policy leaves the pool; a
   * `pool-resize` fills it up again. More crashes than `restartLimit` allows are the pool's own crash.
   */
  readonly restart?: RestartPolicy
  /** Default: `pool of` and the kind of the routees. */
  readonly kind?: string
  /** Config of the n-th routee, counting from 0 and never again the same n. Default: the pool's. */
  readonly configOf?: (config: Config, n: number) => Config
  /** A routee that is to go is stopped after this, with what it has left. Default 30,000. */
  readonly retireMsMax?: number
}

export type PoolDefinition<Config, Message> = ActorDefinition<
  Config,
  PoolState<Message>,
  Message | PoolControl
>

export interface PoolState<Message> {
  readonly routees: Routees<Message>
  /** Those that get nothing more and end when they have finished. */
  readonly leaving: Map<string, Ref<Message>>
  readonly spawn: () => void
}

const SIZE_MAX = 4_096
const RETIRE_POLL_MS = 50

/**
 * Goes on routing while some of its routees restart; with none up, an ask fails at once as
 * `unreachable`, and a tell is a dead letter. Message types that begin with `pool-` or `router-` are the
 * pool's own. Throws `RangeError` for a size that is not legal.
 */
export function poolOf<Config, State, Message>(
  definition: ActorDefinition<Config, State, Message>,
  options: PoolOfOptions<Message, Config>,
): PoolDefinition<Config, Message> {
  const { size, picker, kind = `pool of ${definition.kind}`, ...rest } = options
  const { restart = 'permanent', configOf, retireMsMax = 30_000, ...spawnOptions } = rest
  if (!isSize(size)) throw new RangeError(`size: ${size}, ${LEGAL_SIZE}`)

  function start(config: Config, context: PoolContext<Message>): PoolState<Message> {
    const isGone = ({ reason }: Down): boolean =>
      restart === 'temporary' || (restart === 'transient' && reason.type === 'stopped')
    const looksMax = Number.POSITIVE_INFINITY
    const routees = createRoutees(context, { picker, isGone, looksMax })
    let spawned = 0
    const spawn = (): void => {
      const n = spawned++
      const own = configOf ? configOf(config, n) : config
      const options = { ...spawnOptions, name: `routee-${n}`, restart }
      routees.add(context.spawn(definition, own, options))
    }
    while (routees.all.size < size) spawn()
    return { routees, leaving: new Map(), spawn }
  }

  return {
    kind,
    protocol: withControl(definition.protocol, PoolControl, isOfPool),
    config: definition.config,
    start,
    receive(state, message, context) {
      if (!isPoolControl(message)) {
        state.routees.route(message)
      } else if (message.type === 'pool-resize') {
        if (isSize(message.size)) resize(state, message.size, context, retireMsMax)
        else context.refuse(message, 'refused', `size: ${message.size}, ${LEGAL_SIZE}`)
      } else if (message.type === 'pool-retire') {
        retire(state, message, context)
      } else {
        state.routees.look(message)
      }
      return next(state)
    },
    down(state, down) {
      state.routees.down(down)
      return next(state)
    },
  }
}

type PoolContext<Message> = Context<Message | PoolControl>
type Retire = Extract<PoolControl, { readonly type: 'pool-retire' }>

const LEGAL_SIZE = `legal is 0 to ${SIZE_MAX}`

function isSize(size: number): boolean {
  return Number.isSafeInteger(size) && size >= 0 && size <= SIZE_MAX
}

/** The youngest go first. */
function resize<Message>(
  state: PoolState<Message>,
  size: number,
  context: PoolContext<Message>,
  retireMsMax: number,
): void {
  const { routees, leaving, spawn } = state
  const until = context.environment.clock.now() + retireMsMax
  for (const [address, { ref }] of [...routees.all].slice(size)) {
    routees.remove(ref)
    leaving.set(address, ref)
    retire(state, { type: 'pool-retire', address, until }, context)
  }
  while (routees.all.size < size) spawn()
}

function retire<Message>(
  { leaving }: PoolState<Message>,
  message: Retire,
  context: PoolContext<Message>,
): void {
  const routee = leaving.get(message.address)
  if (!routee) return
  const isBusy = (context.load(routee) ?? 0) > 0
  if (isBusy && context.environment.clock.now() < message.until) {
    context.after(RETIRE_POLL_MS, message)
    return
  }
  leaving.delete(message.address)
  context.stop(routee)
}

function isOfPool(type: unknown): boolean {
  return typeof type === 'string' && (type.startsWith('pool-') || type.startsWith('router-'))
}

function isPoolControl<Message>(message: Message | PoolControl): message is PoolControl {
  const isObject = typeof message === 'object' && message !== null && 'type' in message
  return isObject && isOfPool(message.type)
}
