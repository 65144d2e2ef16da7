// The actors of one process and its place in the cluster. Every envelope, local or not, passes `route`.
import type { Address, Ref, SendResult } from '../protocol/address.ts'
import { formatAddress } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import type { Envelope } from '../protocol/envelope.ts'
import { limits as defaultLimits, type Limits } from '../protocol/limits.ts'
import { DecodeError, type Resolve } from '../protocol/schema.ts'
import {
  type ActorDefinition,
  type AnyDefinition,
  type Ask,
  type SpawnOptions,
  StartError,
} from './actor.ts'
import { type Cell, describeError, type Kernel, runCell, spawnCell, stopCell } from './cell.ts'
import { createMembership } from './cluster/membership.ts'
import { checkResources, type Resources } from './cluster/resources.ts'
import { createContext } from './context.ts'
import type { Environment } from './environment.ts'
import { createForwarding } from './forwarding.ts'
import { createInspector, type Listener } from './inspect.ts'
import { createAsks, createRef, slotOfPath } from './ref.ts'
import { createRemoteAsks } from './remote-asks.ts'
import { createScheduler } from './scheduler.ts'
import { type MemberEntry, SYSTEM_PATH, SystemSignal } from './signals.ts'
import { SPAWNER_NAME, type Spawned, spawnerOf, spawnerOn } from './spawner.ts'
import { createWatches } from './watches.ts'

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
  /** Every envelope passes here. */
  route(envelope: Envelope): SendResult
  /** The returned function ends the listening. `routed` asks for every envelope too, which costs. */
  inspect(listener: Listener, options?: { readonly routed?: boolean }): () => void
  actors(): readonly ActorStatus[]
  members(): readonly MemberEntry[]
  /** Accepts peers; resolves to the URL, also when called again. Default: loopback, a free port. */
  listen(options?: ListenAddress): Promise<string>
  /** Dials the control member and resolves when it has sent the directory. */
  join(controlUrl: string): Promise<void>
  /** Called where the death of a member is known, e.g. because its process has exited. */
  markLost(member: string, incarnation: number, cause: string): void
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
  // Traces of different members differ by chance; within one they count.
  let lastTrace = environment.random.below(2 ** 32) * 2 ** 20
  let currentTrace: number | undefined
  const trace = (): number => currentTrace ?? ++lastTrace

  const resolve: Resolve = (address) => createRef(address, trace, route) as Ref<never>
  const { resources } = options
  if (resources) checkResources(resources)
  const membership = createMembership({
    self: resources ? { ...self, resources } : self,
    token,
    environment,
    limits,
    inspector,
    resolve,
    received: receiveRemote,
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
    route,
    cancelRemote: (target, slot) => signal(target.member, { type: 'cancel', slot }),
  })
  const watches = createWatches({
    member,
    watchesMax: limits.watchesMax,
    find: (path, life) => livingAt({ member, path, ...(life && { incarnation: life }) })?.life,
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
    createContext: (cell, life, number) => createContext(contextWorld, cell, life, number),
    schedule: (cell) => scheduler.schedule(cell),
    refuseRemoteAsks: (life, cause) => remoteAsks.endLife(life, cause),
    deadLetter: ({ target }, cause) => inspector.emit({ type: 'dead-letter', target, cause }),
    withTrace(next, run) {
      currentTrace = next
      try {
        return run()
      } finally {
        currentTrace = undefined
      }
    },
    escalated: (cause) => options.onEscalated?.(cause),
  }
  const forwarding = createForwarding({
    member,
    asks,
    remoteAsks,
    route,
    trace,
    signal,
    find: (address) => (address.member === member ? livingAt(address) : undefined),
    deadLetter: (target, cause) => inspector.emit({ type: 'dead-letter', target, cause }),
    isPresent: (other) => membership.entries.some((entry) => entry.member === other),
  })
  const contextWorld = {
    kernel,
    forwarding,
    trace,
    refTo: (path: string) => resolve({ member, path }),
    stopAt,
  }
  const scheduler = createScheduler<Cell>(environment.clock, (cell, lettersMax) =>
    runCell(kernel, cell, lettersMax),
  )

  function route(envelope: Envelope): SendResult {
    if (inspector.isTracing) inspector.emit({ type: 'routed', envelope })
    const { target } = envelope
    if (target.member === member) return deliver(envelope)
    remoteAsks.answered(target)
    const result = membership.send(envelope)
    if (result === 'full') inspector.emit({ type: 'full', target })
    if (result !== 'accepted') refuseReply(envelope, result)
    return result
  }

  // The asker must not wait for a reply that could not be sent.
  function refuseReply({ target }: Envelope, result: SendResult): void {
    const slot = slotOfPath(target.path)
    if (slot === undefined) return
    const cause = `its reply was refused: ${result}`
    signal(target.member, { type: 'refused', slot, failure: 'overloaded', cause })
  }

  function deliver(envelope: Envelope): SendResult {
    const { target, slot } = envelope
    const replySlot = slotOfPath(target.path)
    if (replySlot !== undefined) return deliverReply(envelope, replySlot)
    const cell = livingAt(target)
    if (!cell?.life) {
      inspector.emit({ type: 'dead-letter', target, cause: 'no such actor' })
      return 'stopped'
    }
    if (!cell.mailbox.push(envelope)) {
      inspector.emit({ type: 'full', target })
      return 'full'
    }
    if (slot !== undefined) {
      if (envelope.sender?.member === member) asks.received(slot, cell.life)
      else if (envelope.sender) remoteAsks.received(envelope.sender.member, slot, cell.life)
    }
    scheduler.schedule(cell)
    return 'accepted'
  }

  function deliverReply({ target, payload }: Envelope, slot: number): SendResult {
    const isOurs = target.incarnation === incarnation && asks.settle(slot, payload)
    if (!isOurs)
      inspector.emit({ type: 'dead-letter', target, cause: 'nobody waits for this reply' })
    return isOurs ? 'accepted' : 'stopped'
  }

  function livingAt(address: Address): Cell | undefined {
    const cell = cells.get(address.path)
    if (!cell?.life) return undefined
    const { incarnation: named } = address
    return named === undefined || named === cell.life.incarnation ? cell : undefined
  }

  function receiveRemote(envelope: Envelope, from: string): void {
    const { target } = envelope
    if (target.member !== member) {
      return kernel.deadLetter(envelope, `this is ${member}, not ${target.member}`)
    }
    const asker = forwarding.askingMember(envelope, from)
    // Whoever the envelope says it is from: the link knows.
    const sender = { ...envelope.sender, member: asker, path: envelope.sender?.path ?? SYSTEM_PATH }
    if (target.path === SYSTEM_PATH) return receiveSignal(envelope.payload, from)
    try {
      const result = route({ ...envelope, sender, payload: decodePayload(envelope) })
      if (result !== 'accepted') refuse(envelope, asker, refusals[result], result)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      kernel.deadLetter(envelope, error.message)
      refuse(envelope, asker, 'refused', error.message)
    }
  }

  function decodePayload({ target, payload }: Envelope): unknown {
    const cell = livingAt(target)
    return cell ? cell.definition.protocol.decode(payload, '', resolve) : payload
  }

  function refuse(
    { slot }: Envelope,
    from: string,
    failure: 'died' | 'overloaded' | 'refused',
    cause: string,
  ): void {
    if (slot === undefined) return
    if (from === member) asks.fail(slot, failure, cause)
    else signal(from, { type: 'refused', slot, failure, cause })
  }

  function receiveSignal(payload: unknown, from: string): void {
    let received: SystemSignal
    try {
      received = SystemSignal.decode(payload, 'signal', resolve)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      const target = { member, path: SYSTEM_PATH }
      return inspector.emit({ type: 'dead-letter', target, cause: error.message })
    }
    switch (received.type) {
      case 'watch':
        return watches.watchFrom(from, received)
      case 'watched':
        return watches.watched(received.id, received.incarnation)
      case 'unwatch':
        return watches.unwatchFrom(from, received.id)
      case 'down': {
        const { type, cause = '' } = received.reason
        const isBare = type === 'stopped' || type === 'never-existed'
        const reason = isBare ? { type } : { type, cause }
        return watches.down(received.id, received.incarnation, reason)
      }
      case 'refused':
        return void asks.fail(received.slot, received.failure, received.cause)
      case 'forwarded':
        return forwarding.forwarded(received, from)
      case 'cancel':
        return remoteAsks.cancelled(from, received.slot)
      case 'members':
        return membership.members(received, from)
      case 'leave':
        return membership.left(from)
    }
  }

  function signal(to: string, payload: SystemSignal): boolean {
    const target = { member: to, path: SYSTEM_PATH }
    return membership.send({ target, lane: 'signal', trace: 0, payload }) === 'accepted'
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
    stopActor(ref) {
      assert(ref.address.member === member, `${formatAddress(ref.address)} is not on ${member}`)
      return stopAt(ref.address.path)
    },
    route,
    inspect: (listener, { routed = false } = {}) => inspector.listen(listener, routed),
    actors: () => [...cells.values()].map(statusOf),
    members: () => membership.entries,
    listen: ({ hostname = '127.0.0.1', port = 0 } = {}) => membership.listen({ hostname, port }),
    join: (controlUrl) => membership.join(controlUrl),
    markLost: (lost, life, cause) => membership.markLost(lost, life, cause),
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

const refusals = { full: 'overloaded', stopped: 'died', unreachable: 'died' } as const

function statusOf({ path, definition, life, mailbox, restartCount, lastCrash }: Cell): ActorStatus {
  return {
    path,
    kind: definition.kind,
    incarnation: life?.incarnation ?? 0,
    mailboxMessages: mailbox.messages,
    restarts: restartCount,
    ...(lastCrash !== undefined && { lastCrash }),
  }
}
