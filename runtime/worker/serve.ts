// What a worker does with its assignment: it joins the cluster, starts its actors, says ready and takes
// orders. What its process is, a real one (`entry.ts`) or a simulated one, is an argument.
import { type ActorDefinition, type AnyDefinition, next } from '../actor.ts'
import { describeError } from '../lives.ts'
import type { Environment } from '../environment.ts'
import { steerHere } from '../cluster/steer.ts'
import { createMemberLog, type MemberLog } from '../member-log.ts'
import { reportOf } from '../member-status.ts'
import { createSystem, type System } from '../system.ts'
import { Assignment, type PoolMessage, WORKER_NAME, WorkerMessage } from './assignment.ts'
import { EXIT_DEVICE_FAULT } from './devices.ts'

export interface WorkerProcess {
  readonly environment: Environment
  /** Every kind that it may be told to start. */
  readonly definitions: readonly AnyDefinition[]
  /** Whether this cause of death is a fault of the device that the process owns. Default: none is. */
  readonly isDeviceFault?: (cause: string) => boolean
  /** Ends it, now. */
  exit(code: number, lastWords?: LastWords): void
}

export interface LastWords {
  readonly cause: string
  /** The pool has been told; else this is all that anybody will know. */
  readonly isToldToPool: boolean
}

export interface Service {
  readonly system: System
  /** Resolves when the actors are started, or the process is about to end. */
  readonly started: Promise<void>
  /** For an error outside of any actor: tells the pool and ends the process. */
  fail(cause: string): void
}

const FLUSH_MS = 50

/** Throws `DecodeError`. */
export function readAssignment(argument: unknown): Assignment {
  return Assignment.decode(argument, 'assignment', () => {
    throw new TypeError('an assignment holds addresses, not refs')
  })
}

export function serveAssignment(assignment: Assignment, worker: WorkerProcess): Service {
  const { environment, definitions } = worker
  const { member, incarnation, token, limits } = assignment
  let isFailing = false
  const system = createSystem({
    environment,
    member,
    incarnation,
    token,
    limits,
    definitions,
    ...(assignment.resources && { resources: assignment.resources }),
    onEscalated: fail,
  })
  const pool = system.ref<PoolMessage>(assignment.pool)
  const log = createMemberLog(system)

  function fail(cause: string): void {
    if (isFailing) return
    isFailing = true
    const deviceFault = worker.isDeviceFault?.(cause) ?? false
    const told = pool.tell({ type: 'failing', member, incarnation, cause, deviceFault })
    const code = deviceFault ? EXIT_DEVICE_FAULT : 1
    // The link sends in a microtask; whatever becomes of it, the process ends. Whom the pool tells is
    // the pool's affair: one line of it is enough.
    environment.clock.after(FLUSH_MS, () =>
      worker.exit(code, { cause, isToldToPool: told === 'accepted' }),
    )
  }

  async function start(): Promise<void> {
    try {
      await system.listen()
      await system.join(assignment.control)
      for (const { kind, name, config } of assignment.actors) {
        // A crash ends the process: the pool starts a clean one.
        const restartLimit = { restartsMax: 0, windowMs: 1 }
        system.spawnKind(kind, config, { name, restart: 'transient', restartLimit })
      }
      const { allowFaults = false } = assignment
      const served = { system, worker, log, allowFaults }
      const ref = system.spawn(workerActor, served, { name: WORKER_NAME })
      pool.tell({ type: 'ready', incarnation, worker: ref })
    } catch (error) {
      fail(describeError(error))
    }
  }

  system.inspect((event) => {
    if (event.type !== 'member-lost' || event.member !== assignment.pool.member) return
    const cause = `lost ${event.member}: ${event.cause}`
    worker.exit(1, { cause, isToldToPool: false })
  })
  return { system, started: start(), fail }
}

interface Served {
  readonly system: System
  readonly worker: WorkerProcess
  readonly log: MemberLog
  readonly allowFaults: boolean
}

/** Takes orders from the pool, and tells how the process is. */
const workerActor: ActorDefinition<Served, Served, WorkerMessage> = {
  kind: 'worker',
  protocol: WorkerMessage,
  config: { decode: (value) => value as Served },
  start: (served) => served,
  receive(served, message) {
    const { system, log } = served
    switch (message.type) {
      case 'stop':
        void stopInOrder(served, message.drainMs)
        break
      case 'status':
        message.replyTo.tell(reportOf(system, log, message.after))
        break
      case 'actor':
        message.replyTo.tell(steerHere(system, message.path, message.verb))
        break
      case 'fault':
        // First: a partition would hold the answer back.
        message.replyTo.tell(served.allowFaults ? 'accepted' : 'forbidden')
        if (served.allowFaults)
          system.environment.clock.after(FLUSH_MS, () => injectHere(system, message))
    }
    return next(served)
  },
}

function injectHere(
  system: System,
  { kind, ms, durationMs, to }: Extract<WorkerMessage, { type: 'fault' }>,
): void {
  const fault = kind === 'delay' ? ({ type: 'delay', ms } as const) : ({ type: kind } as const)
  system.injectFault({ ...(to !== undefined && { member: to }), fault, durationMs })
}

// What has arrived is handled, what the actors then say is sent; only then are the links closed.
async function stopInOrder({ system, worker }: Served, drainMs: number): Promise<void> {
  await system.drain(drainMs / 2)
  const names = system.actors().filter(({ path }) => isOwnRoot(path))
  for (const { path } of names.reverse())
    system.stopActor(system.ref({ member: system.member, path }))
  await system.drain(drainMs / 2)
  system.stop()
  system.environment.clock.after(FLUSH_MS, () => worker.exit(0))
}

function isOwnRoot(path: string): boolean {
  return !path.slice(1).includes('/') && path !== `/${WORKER_NAME}`
}
