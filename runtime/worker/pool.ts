// Worker processes: started, watched, replaced. The pool holds the process id, so a death is known in
// milliseconds; a hang is known by the heartbeats of the link. What follows is `supervision.ts`'s verdict.
import { assert } from '../../protocol/assert.ts'
import { plain } from '../../protocol/schema.ts'
import { type ActorDefinition, next, type Ref } from '../actor.ts'
import type { Resources } from '../cluster/resources.ts'
import type { Engine } from '../engine.ts'
import type { Exit, Process } from '../environment.ts'
import {
  backoffMs,
  judgeDeath,
  type RestartLimit,
  type RestartPolicy,
  withRestart,
} from '../supervision.ts'
import type { System } from '../system.ts'
import { type Assignment, PoolMessage, type WorkerMessage } from './assignment.ts'
import {
  type DeviceDecision,
  type DeviceOptions,
  type DeviceReason,
  type DeviceRegister,
  deviceRegister,
  isDeviceFault,
} from './devices.ts'
import { type PoolLimits, poolLimits } from './pool-limits.ts'

export { type PoolLimits, poolLimits }

export interface PoolOptions {
  readonly system: System
  /** The module that a worker process runs: it calls `runWorker`. */
  readonly module: string
  /**
   * Which life of the pool's owner this is, from 0: incarnations go on above those of all earlier lives,
   * so that what those lives left behind stays fenced. Default 0.
   */
  readonly life?: number
  readonly limits?: Partial<PoolLimits>
  /** Links of its workers may be broken on request. Default false. */
  readonly allowFaults?: boolean
}

/** Incarnations that one life of a pool can give a worker; a member's incarnation is below 2^20. */
const INCARNATIONS_PER_LIFE = 1_024

/** An actor that a worker process starts; `config` is plain JSON (refs as addresses). */
export interface ActorStart {
  readonly kind: string
  readonly name: string
  readonly config: unknown
}

export interface WorkerOptions {
  /** The member's name. */
  readonly name: string
  /** Default permanent. */
  readonly restart?: RestartPolicy
  /** Default: 10 within a minute. */
  readonly restartLimit?: RestartLimit
  /** Each life of the process owns one of these. */
  readonly devices?: DeviceOptions
  /** `device`: of this life, where there are `devices`. */
  readonly actors: (incarnation: number, device: string | undefined) => readonly ActorStart[]
  /** What the process has to offer to `createPlacement`, as `{ gpu: 1 }`. */
  readonly resources?: Resources
  /** What runs the process; default: what runs this one. A pool may hold both. */
  readonly engine?: Engine
  readonly onEvent?: (event: PoolEvent) => void
}

export type PoolEvent =
  | {
      readonly type: 'started'
      readonly incarnation: number
      readonly processId: number
      readonly device?: string
    }
  | { readonly type: 'ready'; readonly incarnation: number; readonly msSinceSpawn: number }
  | {
      readonly type: 'exited'
      readonly incarnation: number
      readonly exit: Exit
      readonly cause: string
      readonly device?: string
      readonly isDeviceFault: boolean
      /** Nobody died: it was asked to stop, or to restart. */
      readonly isAsked: boolean
    }
  /** `incarnation` and `device` are those to come. */
  | {
      readonly type: 'restarting'
      readonly incarnation: number
      readonly delayMs: number
      readonly device?: string
      readonly deviceReason?: DeviceReason
    }
  | { readonly type: 'gave-up'; readonly incarnation: number; readonly cause: string }

export type WorkerState = 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped'

export interface PoolWorker {
  readonly name: string
  readonly incarnation: number
  readonly processId: number | undefined
  /** Of this life, or of the one it waits for. */
  readonly device: string | undefined
  readonly state: WorkerState
  /** Asks it to drain and stop, then SIGTERM, then SIGKILL; resolves when the process is gone. */
  stop(): Promise<void>
  /**
   * Ends it as `stop` does, then begins its next life, which no limit counts. Resolves when the old process is
   * gone; at once where none runs.
   */
  restart(): Promise<void>
  /** For chaos: what follows is what would follow a real death. */
  kill(processSignal: Parameters<Process['kill']>[0]): void
}

export interface Pool {
  readonly workers: ReadonlyMap<string, PoolWorker>
  /** Starts a process and keeps it alive by its restart policy. Names are unique. */
  start(options: WorkerOptions): PoolWorker
  /** Stops a worker and gives its name back; who has it next goes on with its incarnations. */
  remove(name: string): Promise<void>
  /** Stops every worker. */
  stop(): Promise<void>
}

interface SupervisedWorker extends PoolWorker {
  ready(incarnation: number): void
  /** Its link is lost: if the process is still there, it hangs. */
  lost(incarnation: number, cause: string): void
  failing(incarnation: number, cause: string, deviceFault: boolean): void
}

const defaultRestartLimit: RestartLimit = { restartsMax: 10, windowMs: 60_000 }
let pools = 0

export function createPool(options: PoolOptions): Pool {
  const { system } = options
  const workers = new Map<string, SupervisedWorker>()
  /** Of names that were given back: what their processes left behind stays fenced. */
  const lastIncarnations = new Map<string, number>()
  const name = `pool-${pools++}`
  const pool = system.spawn(poolActor, workers, { name, restart: 'permanent' })
  const limits = { ...poolLimits, ...options.limits }
  const devices = deviceRegister(limits)
  return {
    workers,
    start(worker) {
      assert(!workers.has(worker.name), `a worker called ${worker.name} has been started`)
      const first = (options.life ?? 0) * INCARNATIONS_PER_LIFE
      const world = {
        system,
        pool,
        module: options.module,
        before: lastIncarnations.get(worker.name) ?? first,
        limits,
        devices,
        allowFaults: options.allowFaults ?? false,
      }
      const started = superviseWorker(world, worker)
      workers.set(worker.name, started)
      return started
    },
    async remove(worker) {
      const found = workers.get(worker)
      if (!found) return
      await found.stop()
      lastIncarnations.set(worker, found.incarnation)
      workers.delete(worker)
    },
    async stop() {
      await Promise.all([...workers.values()].map((worker) => worker.stop()))
      system.stopActor(pool)
    },
  }
}

/** Hears from the worker processes, and watches the first actor of each. */
const poolActor: ActorDefinition<
  ReadonlyMap<string, SupervisedWorker>,
  {
    readonly workers: ReadonlyMap<string, SupervisedWorker>
    readonly watched: Map<string, number>
  },
  PoolMessage
> = {
  kind: 'pool',
  protocol: PoolMessage,
  config: plain as never,
  start: (workers) => ({ workers, watched: new Map() }),
  receive(state, message, context) {
    if (message.type === 'failing') {
      const { member, incarnation, cause, deviceFault } = message
      state.workers.get(member)?.failing(incarnation, cause, deviceFault)
      return next(state)
    }
    const { member } = message.worker.address
    state.watched.set(member, message.incarnation)
    context.watch(message.worker)
    state.workers.get(member)?.ready(message.incarnation)
    return next(state)
  },
  down(state, { ref, reason }) {
    const { member } = ref.address
    const incarnation = state.watched.get(member)
    if (incarnation !== undefined && reason.type !== 'stopped') {
      const cause = 'cause' in reason ? reason.cause : reason.type
      state.workers.get(member)?.lost(incarnation, cause)
    }
    return next(state)
  },
}

interface PoolWorld {
  readonly system: System
  readonly pool: Ref<PoolMessage>
  readonly module: string
  /** The first life has the next incarnation. */
  readonly before: number
  readonly limits: PoolLimits
  readonly allowFaults: boolean
  readonly devices: DeviceRegister
}

function superviseWorker(world: PoolWorld, options: WorkerOptions): SupervisedWorker {
  const { system, limits } = world
  const { clock, random, processes } = system.environment
  const { name, restart: policy = 'permanent', restartLimit: limit = defaultRestartLimit } = options
  const { promise: gone, resolve: markGone } = Promise.withResolvers<void>()
  /** While it ends to begin again. */
  let restarting: PromiseWithResolvers<void> | undefined
  const emit = (event: PoolEvent): void => options.onEvent?.(event)
  let state: WorkerState = 'starting'
  let incarnation = world.before
  let running: Process | undefined
  let spawnedAt = 0
  /** Why it is about to exit, where that is known better than by its exit. */
  let lastWords: string | undefined
  let saidDeviceFault = false
  const assignDevice = (): DeviceDecision | undefined =>
    options.devices && world.devices.assign(name, options.devices, clock.now())
  let device = assignDevice()?.device
  let restarts: readonly number[] = []
  /** Deaths in a row of processes that were not ready for long. */
  let quickDeaths = 0
  /** Of those, in a row, that were never ready. */
  let failedStarts = 0
  let readyAt = Number.POSITIVE_INFINITY
  let stopClock: () => void = () => {}

  async function begin(): Promise<void> {
    incarnation += 1
    lastWords = undefined
    saidDeviceFault = false
    readyAt = Number.POSITIVE_INFINITY
    const control = await system.listen()
    // Stopped while the listener started.
    if (state === 'stopped') return
    const life = incarnation
    spawnedAt = clock.now()
    running = processes.spawn({
      module: world.module,
      argument: assignmentOf(control),
      ...(options.engine && { engine: options.engine }),
      onExit: (exit) => exited(life, exit),
    })
    emit({ type: 'started', incarnation, processId: running.id, ...(device && { device }) })
    const { startMsMax } = limits
    stopClock = clock.after(startMsMax, () => kill(`not ready within ${startMsMax} ms`))
  }

  function assignmentOf(control: string): Assignment {
    const {
      member,
      token,
      limits: { heartbeatMs, silenceMsMax, reconnectMsMax },
    } = system
    return {
      member: name,
      incarnation,
      control,
      token,
      ...(device && { device }),
      pool: { member, path: world.pool.address.path },
      actors: options.actors(incarnation, device),
      ...(options.resources && { resources: options.resources }),
      ...(world.allowFaults && { allowFaults: true }),
      limits: { heartbeatMs, silenceMsMax, reconnectMsMax },
    }
  }

  function kill(cause: string): void {
    lastWords ??= cause
    running?.kill('SIGKILL')
  }

  function exited(life: number, exit: Exit): void {
    stopClock()
    running = undefined
    const cause = lastWords ?? describeExit(exit)
    system.markLost(name, life, cause)
    const now = clock.now()
    const isFault = isDeviceFault({
      ...exit,
      isSaid: saidDeviceFault,
      isExclusive: options.devices?.exclusive?.includes(device ?? '') ?? false,
    })
    if (isFault && device !== undefined) world.devices.fault(device, now)
    const of = device === undefined ? {} : { device }
    const isAsked = state === 'stopping'
    emit({ type: 'exited', incarnation: life, exit, cause, ...of, isDeviceFault: isFault, isAsked })
    if (isAsked) return restarting ? beginAgain(restarting) : end()
    failedStarts = Number.isFinite(readyAt) ? 0 : failedStarts + 1
    const { startFailuresMax: failedStartsMax } = limits
    const death = { policy, crashed: exit.code !== 0, limit, restarts, now }
    switch (judgeDeath({ ...death, failedStarts, failedStartsMax })) {
      case 'forget':
        return end()
      case 'escalate':
        emit({ type: 'gave-up', incarnation: life, cause })
        return end()
      case 'restart': {
        const backoff = { delayMs: limits.restartDelayMs, delayMsMax: limits.restartDelayMsMax }
        if (now - readyAt >= limits.healthyMsMin) quickDeaths = 0
        const delayMs = backoffMs(quickDeaths++, backoff, random)
        restarts = withRestart(restarts, now, limit)
        const decided = assignDevice()
        if (decided) device = decided.device
        const next = decided && { device: decided.device, deviceReason: decided.reason }
        emit({ type: 'restarting', incarnation: life + 1, delayMs, ...next })
        // The listener may have stopped this worker.
        if (state === 'stopped') return
        state = delayMs === 0 ? 'starting' : 'waiting'
        if (delayMs === 0) launch()
        else stopClock = clock.after(delayMs, launch)
      }
    }
  }

  function beginAgain({ resolve }: PromiseWithResolvers<void>): void {
    restarting = undefined
    stopClock()
    failedStarts = quickDeaths = 0
    const decided = assignDevice()
    if (decided) device = decided.device
    launch()
    resolve()
  }

  function launch(): void {
    state = 'starting'
    begin().catch((error: unknown) => {
      emit({ type: 'gave-up', incarnation, cause: String(error) })
      end()
    })
  }

  function end(): void {
    state = 'stopped'
    stopClock()
    world.devices.release(name)
    markGone()
  }

  function endProcess(): void {
    const isReady = state === 'ready'
    state = 'stopping'
    stopClock()
    const term = (): void => {
      running?.kill('SIGTERM')
      stopClock = clock.after(limits.termMsMax, () => running?.kill('SIGKILL'))
    }
    const worker = system.ref<WorkerMessage>({ member: name, path: '/worker' })
    const drainMs = limits.drainMsMax / 2
    const isTold = isReady && worker.tell({ type: 'stop', drainMs }) === 'accepted'
    if (isTold) stopClock = clock.after(limits.drainMsMax, term)
    else term()
  }

  launch()
  return {
    name,
    get incarnation() {
      return incarnation
    },
    get processId() {
      return running?.id
    },
    get device() {
      return device
    },
    get state() {
      return state
    },
    ready(life) {
      if (life !== incarnation || state !== 'starting') return
      stopClock()
      state = 'ready'
      readyAt = clock.now()
      emit({ type: 'ready', incarnation, msSinceSpawn: readyAt - spawnedAt })
    },
    lost(life, cause) {
      if (life !== incarnation || !running || state === 'stopping') return
      lastWords ??= cause
      stopClock()
      stopClock = clock.after(limits.lostMsMax, () => kill(cause))
    },
    failing(life, cause, deviceFault) {
      if (life !== incarnation) return
      lastWords ??= cause
      saidDeviceFault = deviceFault
      if (!running || state === 'stopping') return
      stopClock()
      stopClock = clock.after(limits.failingMsMax, () => kill(cause))
    },
    stop() {
      const was = restarting
      restarting = undefined
      was?.resolve()
      if (state === 'stopping' || state === 'stopped') return gone
      if (running) endProcess()
      else end()
      return gone
    },
    restart() {
      if (restarting) return restarting.promise
      if (state === 'stopping' || state === 'stopped') return gone
      restarting = Promise.withResolvers<void>()
      const { promise } = restarting
      if (running) endProcess()
      else beginAgain(restarting)
      return promise
    },
    kill: (processSignal) => running?.kill(processSignal),
  }
}

function describeExit({ code, processSignal }: Exit): string {
  return processSignal === null ? `exited with code ${code}` : `killed by ${processSignal}`
}
