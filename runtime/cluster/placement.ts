// Actors placed by what they need: one keeper of the books for the cluster, on the member that others
// join, since the loss of a member is final there. What is reserved for an actor stays so until the actor
// is known to be gone: also while it restarts, and where its member does not answer.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import { assert } from '../../protocol/assert.ts'
import { ref, union } from '../../protocol/schema.ts'
import { type ActorDefinition, AskError, type Down, next, type SpawnOptions } from '../actor.ts'
import { spawnerOn } from '../spawner.ts'
import type { System } from '../system.ts'
import {
  decidePlacement,
  type MemberUsage,
  type Offer,
  PlacementError,
  type PlacementStrategy,
  type Reservation,
  usageOf,
} from './capacity.ts'
import { checkResources, type Resources } from './resources.ts'

export interface PlacementOptions {
  /** Of the actor that watches what is placed. Default `placement`. */
  readonly name?: string
  /** Default spread. */
  readonly strategy?: PlacementStrategy
  /** Members that may be used. Default: all that have the resources. */
  readonly accepts?: (member: string) => boolean
}

export interface PlaceOptions<Message> extends SpawnOptions {
  /** As `{ gpu: 1 }`; fractions share. */
  readonly needs: Resources
  /** How long room is waited for, each time the actor is to be placed. Default 0: refused at once. */
  readonly waitMs?: number
  /** `replace` starts it afresh on another member, with the same config. Default `forget`. */
  readonly onMemberLoss?: 'forget' | 'replace'
  /** For each start. Default 30,000. */
  readonly timeoutMs?: number
  /** After each replacement. */
  readonly onMoved?: (ref: Ref<Message>) => void
  /** Once, when it will not run again: stopped, given up by its member, lost, or nowhere to place. */
  readonly onEnded?: (cause: string) => void
}

export interface Placed<Message> {
  /** Where it is now; while a place for it is sought, where it was. */
  readonly ref: Ref<Message>
  readonly state: 'placed' | 'waiting' | 'ended'
  /** Resolves when it is gone and what it held is free. */
  stop(): Promise<void>
}

export interface Placement {
  /**
   * Reserves, starts, and gives back when the actor is gone. Rejects with `PlacementError` where nothing
   * fits, `StartError` where its start fails, `AskError` where its member is lost or silent meanwhile.
   * Who waits is served in order: a small need does not overtake a larger one for the same resource,
   * unless that one is larger than any member.
   */
  spawn<C, S, M>(
    definition: ActorDefinition<C, S, M>,
    config: C,
    options: PlaceOptions<M>,
  ): Promise<Placed<M>>
  usage(): readonly MemberUsage[]
  /** Places nothing more; whoever waits is refused. What is placed stays where it is. */
  stop(): void
}

interface Job {
  readonly name: string
  readonly needs: Resources
  readonly options: PlaceOptions<never>
  start(member: string): Promise<Ref<never>>
  ref: Ref<never> | undefined
  held: Held | undefined
  state: Placed<never>['state']
  isStopping: boolean
  readonly gone: Promise<void>
  readonly markGone: () => void
}

interface Held extends Reservation {
  readonly incarnation: number
  readonly job: Job
  /** Absent until the start is answered. */
  ref?: Ref<never>
}

interface Waiter {
  readonly job: Job
  readonly resolve: (held: Held) => void
  readonly reject: (error: Error) => void
  stopClock: () => void
}

const LOOK_MS = 250
const STOP_TIMEOUT_MS = 5_000

/** One for a cluster: another would not know of its reservations. */
export function createPlacement(system: System, options: PlacementOptions = {}): Placement {
  const { strategy = 'spread', accepts = () => true, name = 'placement' } = options
  const { clock } = system.environment
  const books = new Set<Held>()
  const waiters: Waiter[] = []
  let isStopped = false
  const { watchesMax } = system.limits
  const watcher = system.spawn(
    watcherActor,
    { down: heard },
    { name, restart: 'permanent', mailboxMessagesMax: 2 * watchesMax },
  )
  const stopListening = system.inspect((event) => {
    if (event.type === 'member-joined') serve()
    if (event.type !== 'member-lost') return
    for (const held of [...books]) {
      if (held.member === event.member && held.incarnation <= event.incarnation) {
        lost(held, event.cause)
      }
    }
  })

  // Room.

  function offers(): readonly (Offer & { readonly incarnation: number })[] {
    const entries = system.members().filter(({ member }) => accepts(member))
    return entries.map(({ member, incarnation, resources = {} }) => ({
      member,
      incarnation,
      resources,
    }))
  }

  /** At once where there is room; the reservation is made before anybody else can look. */
  async function reserve(job: Job): Promise<Held> {
    const { promise, resolve, reject } = Promise.withResolvers<Held>()
    const waiter: Waiter = { job, resolve, reject, stopClock: () => {} }
    if (books.size + waiters.length >= watchesMax) {
      const full = `; ${watchesMax} placed actors are the most`
      throw new PlacementError(job.name, job.needs, usageOf(offers(), books), full)
    }
    waiters.push(waiter)
    serve()
    const { waitMs = 0 } = job.options
    if (!waiters.includes(waiter)) return promise
    if (waitMs > 0 && !isStopped) waiter.stopClock = clock.after(waitMs, () => turnAway(waiter))
    else turnAway(waiter)
    return promise
  }

  function serve(): void {
    const open = offers()
    const taken = new Set<string>()
    for (const waiter of [...waiters]) {
      const { job } = waiter
      const isBehind = Object.keys(job.needs).some((resource) => taken.has(resource))
      const member = isBehind ? undefined : decidePlacement(open, books, job.needs, strategy)
      if (member !== undefined) {
        grant(waiter, member, open.find((offer) => offer.member === member)!.incarnation)
      } else if (decidePlacement(open, [], job.needs, strategy) !== undefined) {
        for (const resource of Object.keys(job.needs)) taken.add(resource)
      }
    }
  }

  function grant(waiter: Waiter, member: string, incarnation: number): void {
    const { job } = waiter
    const held: Held = { member, incarnation, needs: job.needs, job }
    books.add(held)
    job.held = held
    drop(waiter)
    waiter.resolve(held)
  }

  function turnAway(waiter: Waiter): void {
    const { name, needs } = waiter.job
    const ahead = waiters.indexOf(waiter)
    drop(waiter)
    const queue = ahead > 0 ? `; ${ahead} were waiting before it` : ''
    waiter.reject(new PlacementError(name, needs, usageOf(offers(), books), queue))
  }

  function drop(waiter: Waiter): void {
    waiter.stopClock()
    waiters.splice(waiters.indexOf(waiter), 1)
  }

  function release(held: Held): void {
    if (!books.delete(held)) return
    if (held.job.held === held) held.job.held = undefined
    serve()
  }

  // Starting.

  async function place(job: Job): Promise<void> {
    for (;;) {
      const held = await reserve(job)
      try {
        const started = await job.start(held.member)
        // Lost between its answer and now.
        if (!books.has(held)) throw new AskError('unreachable', `${held.member} is lost`)
        held.ref = job.ref = started
        job.state = 'placed'
        watcher.tell({ type: 'watch', target: started })
        if (job.isStopping) void requestStop(held)
        return
      } catch (error) {
        startFailed(held, error)
        const { onMemberLoss } = job.options
        if (onMemberLoss !== 'replace' || job.isStopping || !isUnreachable(error)) throw error
      }
    }
  }

  function startFailed(held: Held, error: unknown): void {
    const isKnown = !(error instanceof AskError) || error.failure === 'unreachable'
    if (isKnown) return release(held)
    // Whether it runs is not known: it holds its place until its member says that it is gone.
    held.ref = system.ref({ member: held.member, path: `/${held.job.name}` })
    watcher.tell({ type: 'watch', target: held.ref })
    void requestStop(held)
  }

  // Ending.

  function heard({ ref, reason }: Down): void {
    const address = formatAddress(ref.address)
    for (const held of [...books]) {
      if (!held.ref || formatAddress(held.ref.address) !== address) continue
      if (reason.type === 'unreachable') lost(held, reason.cause)
      else void look(held, reason.type === 'crashed' ? reason.cause : reason.type)
    }
  }

  /** One of its lives is over: is that all? */
  async function look(held: Held, cause: string): Promise<void> {
    if (!books.has(held) || !held.ref || isAbandoned(held)) return
    const { member, path } = held.ref.address
    const request = { type: 'look', path } as const
    try {
      const asked = system.ask(spawnerOn(system, member), request, { timeoutMs: STOP_TIMEOUT_MS })
      const presence = await asked
      if (presence === 'living' && !isStopped) {
        return void watcher.tell({ type: 'watch', target: held.ref })
      }
      if (presence === 'gone') return gone(held, cause)
    } catch (error) {
      if (isUnreachable(error)) return lost(held, String(error))
    }
    clock.after(LOOK_MS, () => void look(held, cause))
  }

  async function requestStop(held: Held): Promise<void> {
    if (!books.has(held) || !held.ref) return
    const { member, path } = held.ref.address
    const request = { type: 'stop', path } as const
    try {
      await system.ask(spawnerOn(system, member), request, { timeoutMs: STOP_TIMEOUT_MS })
      // The watcher is no more.
      if (isStopped) void look(held, 'stopped')
    } catch (error) {
      if (isUnreachable(error)) return lost(held, String(error))
      if (!isAbandoned(held)) clock.after(LOOK_MS, () => void requestStop(held))
    }
  }

  /** Nobody waits for its end any more. */
  function isAbandoned({ job }: Held): boolean {
    return isStopped && !job.isStopping
  }

  function gone(held: Held, cause: string): void {
    const { job } = held
    const isCurrent = job.held === held && job.state === 'placed'
    release(held)
    if (isCurrent) end(job, cause)
  }

  function lost(held: Held, cause: string): void {
    const { job } = held
    const isCurrent = job.held === held && job.state === 'placed'
    release(held)
    // A start under way finds out by itself.
    if (!isCurrent) return
    if (job.options.onMemberLoss === 'replace' && !job.isStopping && !isStopped) void replace(job)
    else end(job, cause)
  }

  async function replace(job: Job): Promise<void> {
    job.state = 'waiting'
    try {
      await place(job)
      const { ref } = job
      // A fault in a callback is its author's: it must not end the watching.
      if (ref) queueMicrotask(() => job.options.onMoved?.(ref))
    } catch (error) {
      end(job, String(error))
    }
  }

  function end(job: Job, cause: string): void {
    if (job.state === 'ended') return
    job.state = 'ended'
    job.markGone()
    queueMicrotask(() => job.options.onEnded?.(cause))
  }

  function stopJob(job: Job): Promise<void> {
    job.isStopping = true
    const waiting = waiters.find((waiter) => waiter.job === job)
    if (waiting) turnAway(waiting)
    else if (job.held?.ref) void requestStop(job.held)
    return job.gone
  }

  return {
    async spawn<C, S, M>(
      definition: ActorDefinition<C, S, M>,
      config: C,
      options: PlaceOptions<M>,
    ): Promise<Placed<M>> {
      assert(!isStopped, 'a stopped placement places nothing')
      const { needs, waitMs, onMemberLoss, onMoved, onEnded, ...spawn } = options
      checkResources(needs)
      const { promise, resolve } = Promise.withResolvers<void>()
      const job: Job = {
        name: options.name,
        needs,
        options: options as PlaceOptions<never>,
        start: (member) => system.spawnOn(member, definition, config, spawn),
        ref: undefined,
        held: undefined,
        state: 'waiting',
        isStopping: false,
        gone: promise,
        markGone: resolve,
      }
      await place(job)
      return {
        get ref() {
          return job.ref as Ref<M>
        },
        get state() {
          return job.state
        },
        stop: () => stopJob(job),
      }
    },
    usage: () => usageOf(offers(), books),
    stop() {
      isStopped = true
      stopListening()
      for (const waiter of [...waiters]) turnAway(waiter)
      system.stopActor(watcher)
    },
  }
}

const WatcherMessage = union({ watch: { target: ref<never>() } })

interface WatcherConfig {
  readonly down: (down: Down) => void
}

/** Watches what is placed; each watch is of one life. */
const watcherActor: ActorDefinition<
  WatcherConfig,
  WatcherConfig,
  { readonly type: 'watch'; readonly target: Ref<never> }
> = {
  kind: 'placement',
  protocol: WatcherMessage,
  config: { decode: (value) => value as WatcherConfig },
  start: (config) => config,
  receive(config, { target }, context) {
    context.watch(target)
    return next(config)
  },
  down(config, down) {
    config.down(down)
    return next(config)
  },
}

function isUnreachable(error: unknown): boolean {
  return error instanceof AskError && error.failure === 'unreachable'
}
