// The actors of one process and its place in the cluster. Every envelope, local or not, passes `route`.
import type { Address, Ref, SendResult } from '../protocol/address.ts'
import { formatAddress } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import type { Envelope } from '../protocol/envelope.ts'
import { limits as defaultLimits, type Limits } from '../protocol/limits.ts'
import type { Resolve } from '../protocol/schema.ts'
import {
  type ActorDefinition,
  type AnyDefinition,
  type Ask,
  type SpawnOptions,
  StartError,
} from './actor.ts'
import { runCell, spawnCell } from './cell.ts'
import { createMembership, type FaultOn, type LinkStatus } from './cluster/membership.ts'
import { checkResources, type Resources } from './cluster/resources.ts'
import { LifeContext } from './context.ts'
import type { Environment } from './environment.ts'
import { createForwarding } from './forwarding.ts'
import { createInspector, type InspectionEvent, type Listener, type Wanted } from './inspect.ts'
import { type Cell, describeError, type Kernel, stopCell } from './lives.ts'
import { createAsks, createRef } from './ref.ts'
import { createRemoteAsks } from './remote-asks.ts'
import { createRouting } from './routing.ts'
import { createScheduler } from './scheduler.ts'
import { type MemberEntry, SYSTEM_PATH, type SystemSignal } from './signals.ts'
import { SPAWNER_NAME, type Spawned, spawnerOf, spawnerOn } from './spawner.ts'
import type { RestartLimit, RestartPolicy, Supervision } from './supervision.ts'
import { crash, restartNow } from './supervisor.ts'
import { createTopics, type Topic } from './topics.ts'
import { createTraces } from './trace.ts'
import { createWatches } from './watches.ts'

export type { LinkStatus } from './cluster/membership.ts'
export type { MemberEntry } from './signals.ts'

export interface SystemOptions {
  readonly environment: Environment
  /** Name of this process in the cluster. */
  readonly member: string
  /** The n-th life of this member: a successor has a higher one. Default 1. */
  readonly incarnation?: number
  /** Kinds that may be spawned from another member (`spawnOn`, the pool). */
  readonly definitions?: readonly AnyDefinition[]
  /** What this member has to offer to `createPlacement`, as `{ gpu: 2 }`; all members are told. */
  readonly resources?: Resources
  /** Shared secret of the cluster; a peer with another one is refused. Default ''. */
  readonly token?: string
  readonly limits?: Partial<Limits>
  /** A root actor that keeps crashing: nobody above it can decide. */
  readonly onEscalated?: (cause: string) => void
}

export interface ListenAddress {
  readonly hostname?: string
  readonly port?: number
}

export interface ActorStatus {
  readonly path: string
  readonly kind: string
  readonly incarnation: number
  readonly mailboxMessages: number
  readonly restarts: number
  readonly lastCrash?: string
  /** What happens when it ends, and how it looks after its children. */
  readonly restart: RestartPolicy
  readonly restartLimit?: RestartLimit
  readonly supervision?: Supervision
}

/** Since the start of the system, except where a name says `now`. */
export interface Metrics {
  readonly actorsNow: number
  readonly asksNow: number
  /** Of actors: one for each message, `Down` and stop. */
  readonly turns: number
  /** Inspection events by type: restarts, crashes, dead letters, ... */
  readonly events: Readonly<Record<InspectionEvent['type'], number>>
}

export interface System {
  readonly member: string
  readonly incarnation: number
  readonly environment: Environment
  readonly token: string
  readonly limits: Limits
  /** Present once `listen` has resolved. */
  readonly url: string | undefined
  /** Starts a root actor now; throws `StartError` where its `start` throws. */
  spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M>
  /** Starts an actor on another member, by its kind; a failing start rejects with `StartError`. */
  spawnOn<C, S, M>(
    member: string,
    definition: ActorDefinition<C, S, M>,
    config: C,
    options: SpawnOptions & { readonly timeoutMs?: number },
  ): Promise<Ref<M>>
  /** Starts a root actor by kind; its config is decoded by the schema of the definition. */
  spawnKind(kind: string, config: unknown, options: SpawnOptions): Ref<never>
  ref<M>(address: Address): Ref<M>
  ask: Ask
  /** Stops an actor of this member and its children; 'stopped' when there is none. */
  stopActor(ref: Ref<never>): SendResult
  /** The same once it has handled what waits; from now on it takes no message. */
  drainActor(ref: Ref<never>): SendResult
  /** As if its behavior had thrown: its supervisor decides. */
  crashActor(ref: Ref<never>, cause: string): SendResult
  /** Another life with a fresh state, which no restart limit counts; its children end with the old one. */
  restartActor(ref: Ref<never>): SendResult
  /** Events of this member. The returned function ends the subscription. */
  subscribe<Event>(topic: Topic<Event>, listener: (event: Event) => void): () => void
  publish<Event>(topic: Topic<Event>, event: Event): number
  /** Every envelope passes here. */
  route(envelope: Envelope): SendResult
  /**
   * The returned function ends the listening. `routed` asks for every envelope too, which costs; `spans` for
   * the turns of sampled traces, of which `context.span` begins one in so many.
   */
  inspect(listener: Listener, options?: Wanted): () => void
  actors(): readonly ActorStatus[]
  metrics(): Metrics
  members(): readonly MemberEntry[]
  /** To the members that this one has talked to. */
  links(): readonly LinkStatus[]
  /** Accepts peers; resolves to the URL, also when called again. Default: loopback, a free port. */
  listen(options?: ListenAddress): Promise<string>
  /** Dials the control member and resolves when it has sent the directory. */
  join(controlUrl: string): Promise<void>
  /** Called where the death of a member is known, e.g. because its process has exited. */
  markLost(member: string, incarnation: number, cause: string): void
  /** For chaos: on the link to a member, or on all links; false where there is none. */
  injectFault(on: FaultOn): boolean
  /** Resolves when every mailbox is empty and every peer has acknowledged, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>
  /** Stops every actor, newest first, says goodbye to every peer and closes the listener. */
  stop(): void
}

const SPAWN_TIMEOUT_MS = 30_000
const DRAIN_POLL_MS = 2

export function createSystem(options: SystemOptions): System {
  const { environment, member, incarnation = 1, token = '', definitions = [] } = options
  assert(/^[^/#\s]+$/.test(member), 'a member name has no slash, hash or space')
  assert(incarnation >= 0 && incarnation < 2 ** 20, 'incarnations count up from 0')
  const limits: Limits = { ...defaultLimits, ...options.limits }
  const self = { member, incarnation }
  const inspector = createInspector()
  const cells = new Map<string, Cell>()
  const kinds = new Map(definitions.map((definition) => [definition.kind, definition]))
  let lives = 0
  let isStopped = false
  const traces = createTraces(environment.random)
  const turn: Kernel['turn'] = { isRunning: false, trace: undefined }
  /** Outside of any turn an envelope begins its own trace, if one is ever needed. */
  const trace = (): string | undefined => {
    if (turn.isRunning) turn.trace ??= traces.begin()
    return turn.trace
  }
  const send = (target: Address, payload: unknown): SendResult =>
    routing.route({ target, lane: 'message', trace: trace(), payload })

  const resolve: Resolve = (address) => createRef(address, send) as Ref<never>
  const { resources } = options
  if (resources) checkResources(resources)
  const membership = createMembership({
    self: resources ? { ...self, resources } : self,
    token,
    environment,
    limits,
    inspector,
    resolve,
    received: (envelope, from) => routing.receive(envelope, from),
    memberLost(lost, cause) {
      asks.failMember(lost, cause)
      watches.memberLost(lost, cause)
      remoteAsks.memberLost(lost)
    },
  })
  const asks = createAsks({
    self,
    clock: environment.clock,
    limits,
    trace,
    route: (envelope) => routing.route(envelope),
    cancelRemote: (target, slot) => signal(target.member, { type: 'cancel', slot }),
  })
  const watches = createWatches({
    member,
    watchesMax: limits.watchesMax,
    find: (path, life) =>
      routing.livingAt({ member, path, ...(life && { incarnation: life }) })?.life,
    signal,
  })
  const remoteAsks = createRemoteAsks(signal)
  const kernel: Kernel = {
    environment,
    limits,
    inspector,
    cells,
    asks,
    watches,
    // Higher than in any former life of the member, so that no two lives of a path share a number.
    nextIncarnation: () => incarnation * 2 ** 32 + lives++,
    createLife: (cell) => new LifeContext(kernel, cell),
    refTo: (path) => resolve({ member, path }),
    stopAt: (path) => void stopAt(path),
    drainAt: (path) => void drainAt(path),
    forwarding: createForwarding({
      member,
      asks,
      remoteAsks,
      route: (envelope) => routing.route(envelope),
      trace,
      signal,
      find: (address) => (address.member === member ? routing.livingAt(address) : undefined),
      deadLetter: (target, cause) => inspector.emit({ type: 'dead-letter', target, cause }),
      isPresent: (other) => membership.entries.some((entry) => entry.member === other),
    }),
    trace: () => trace() ?? traces.begin(),
    schedule: (cell) => scheduler.schedule(cell),
    refuseRemoteAsks: (life, cause) => remoteAsks.endLife(life, cause),
    deadLetter: ({ target }, cause) => inspector.emit({ type: 'dead-letter', target, cause }),
    topics: createTopics(),
    turn,
    traces,
    escalated: (cause) => options.onEscalated?.(cause),
  }
  const routing = createRouting({
    self,
    kernel,
    remoteAsks,
    resolve,
    inspector,
    send: (envelope) => membership.send(envelope),
    signal,
    membershipSignal(received, from) {
      if (received.type === 'members') membership.members(received, from)
      else if (received.type === 'leave') membership.left(from)
    },
  })
  const scheduler = createScheduler<Cell>(environment.clock, (cell, lettersMax) =>
    runCell(kernel, cell, lettersMax),
  )

  function signal(to: string, payload: SystemSignal): boolean {
    const target = { member: to, path: SYSTEM_PATH }
    return membership.send({ target, lane: 'signal', payload }) === 'accepted'
  }

  function stopAt(path: string): SendResult {
    const cell = cells.get(path)
    if (!cell) return 'stopped'
    if (!cell.life) {
      stopCell(kernel, cell)
    } else if (!cell.isStopping) {
      cell.isStopping = true
      cell.mailbox.signal({ notice: 'stop' })
      scheduler.schedule(cell)
    }
    return 'accepted'
  }

  function drainAt(path: string): SendResult {
    const cell = cells.get(path)
    if (!cell?.life) return stopAt(path)
    if (!cell.isDraining) {
      cell.isDraining = true
      cell.life.insist({ notice: 'stop' })
    }
    return 'accepted'
  }

  /** Now, not when its turn comes: an actor that hangs in a long queue can be ended too. */
  function endLifeAt(path: string, end: (cell: Cell) => void): SendResult {
    const cell = cells.get(path)
    if (!cell?.life) return 'stopped'
    end(cell)
    return 'accepted'
  }

  function here({ address }: Ref<never>): string {
    assert(address.member === member, `${formatAddress(address)} is not on ${member}`)
    return address.path
  }

  function spawnRoot(definition: AnyDefinition, config: unknown, spawn: SpawnOptions): Ref<never> {
    assert(!isStopped, 'a stopped system starts nothing')
    return resolve({
      member,
      path: spawnCell(kernel, undefined, { definition, config, options: spawn }).path,
    })
  }

  function spawnKind(kind: string, config: unknown, spawn: SpawnOptions): Ref<never> {
    const definition = kinds.get(kind)
    const known = [...kinds.keys()].join(', ') || 'nothing'
    if (!definition) throw new StartError(spawn.name, `${member} knows no ${kind}, only ${known}`)
    return spawnRoot(definition, definition.config.decode(config, 'config', resolve), spawn)
  }

  const ask = ((ref: Ref<never>, message: object, { timeoutMs }: { timeoutMs: number }) =>
    asks.ask(ref.address, message, { timeoutMs })) as unknown as Ask

  const spawner = spawnerOf({
    spawn(kind, config, spawn) {
      try {
        return { type: 'spawned', path: spawnKind(kind, config, spawn).address.path }
      } catch (error) {
        return { type: 'failed', cause: describeError(error) }
      }
    },
    find: (path) => cells.get(path),
    kinds,
    stopAt,
  })
  spawnRoot(spawner as unknown as AnyDefinition, undefined, {
    name: SPAWNER_NAME,
    restart: 'permanent',
  })

  return {
    member,
    incarnation,
    environment,
    token,
    limits,
    get url() {
      return membership.url
    },
    spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, spawn: SpawnOptions): Ref<M> {
      return spawnRoot(definition as unknown as AnyDefinition, config, spawn) as Ref<M>
    },
    async spawnOn<C, S, M>(
      on: string,
      { kind }: ActorDefinition<C, S, M>,
      config: C,
      { timeoutMs = SPAWN_TIMEOUT_MS, ...spawn }: SpawnOptions & { readonly timeoutMs?: number },
    ): Promise<Ref<M>> {
      const remote = spawnerOn({ ref: resolve as System['ref'] }, on)
      const request = { type: 'spawn' as const, kind, config, ...spawn }
      const spawned: Spawned = await ask(remote, request, { timeoutMs })
      if (spawned.type === 'failed') throw new StartError(`${on}/${spawn.name}`, spawned.cause)
      return resolve({ member: on, path: spawned.path }) as Ref<M>
    },
    spawnKind,
    ref: <M>(address: Address) => resolve(address) as Ref<M>,
    ask,
    stopActor: (ref) => stopAt(here(ref)),
    drainActor: (ref) => drainAt(here(ref)),
    crashActor: (ref, cause) => endLifeAt(here(ref), (cell) => crash(kernel, cell, cause)),
    restartActor: (ref) => endLifeAt(here(ref), (cell) => restartNow(kernel, cell)),
    subscribe: (topic, listener) =>
      kernel.topics.subscribe(topic, (event) => {
        listener(event)
        return true
      }),
    publish: (topic, event) => kernel.topics.publish(topic, event),
    route: routing.route,
    inspect: (listener, wanted = {}) => inspector.listen(listener, wanted),
    actors: () => [...cells.values()].map(statusOf),
    metrics: () => ({
      actorsNow: cells.size,
      asksNow: asks.pending,
      turns: scheduler.handled,
      events: { ...inspector.counts },
    }),
    members: () => membership.entries,
    links: () => membership.links,
    listen: ({ hostname = '127.0.0.1', port = 0 } = {}) => membership.listen({ hostname, port }),
    join: (controlUrl) => membership.join(controlUrl),
    markLost: (lost, life, cause) => membership.markLost(lost, life, cause),
    injectFault: (on) => membership.injectFault(on),
    drain(timeoutMs) {
      const { clock } = environment
      const until = clock.now() + timeoutMs
      return new Promise((done) => {
        const poll = (): void => {
          const isDrained = scheduler.isIdle && membership.isIdle
          if (isDrained || clock.now() >= until) done()
          else clock.after(DRAIN_POLL_MS, poll)
        }
        poll()
      })
    },
    stop() {
      if (isStopped) return
      isStopped = true
      const roots = [...cells.values()].filter(({ parent }) => !parent)
      for (const cell of roots.reverse()) stopCell(kernel, cell)
      asks.cancelAll('the system stopped')
      membership.stop()
    },
  }
}

function statusOf(cell: Cell): ActorStatus {
  const { path, definition, life, mailbox, options, past } = cell
  const { restart = 'transient', restartLimit } = options
  const { supervision } = definition
  return {
    path,
    kind: definition.kind,
    incarnation: life?.incarnation ?? 0,
    mailboxMessages: mailbox.messages,
    restarts: past?.restartCount ?? 0,
    restart,
    ...(past?.lastCrash !== undefined && { lastCrash: past.lastCrash }),
    ...(restartLimit && { restartLimit }),
    ...(supervision && { supervision }),
  }
}
