// What a worker process runs: it reads its assignment, joins the cluster, starts its actors and says
// ready. It never outlives its parent, and a crash that its actors' policies do not cover ends it.
import process from 'node:process'
import { type ActorDefinition, type AnyDefinition, next } from '../actor.ts'
import { describeError } from '../lives.ts'
import type { Environment } from '../environment.ts'
import { realEnvironment } from '../environment-real.ts'
import { createSystem, type System } from '../system.ts'
import { Assignment, type PoolMessage, WORKER_NAME, WorkerMessage } from './assignment.ts'
import { EXIT_DEVICE_FAULT } from './devices.ts'
import { openParent } from './parent.ts'

export interface RunWorkerOptions {
  /** Every kind that this process may be told to start. */
  readonly definitions: readonly AnyDefinition[]
  /** Default: the real one, seeded with the member's name and incarnation. */
  readonly environment?: Environment
  /** Whether this cause of death is a fault of the device that the process owns. Default: none is. */
  readonly isDeviceFault?: (cause: string) => boolean
}

const FLUSH_MS = 50

/** Resolves when the actors are started; the process lives on. */
export async function runWorker(options: RunWorkerOptions): Promise<void> {
  const argument = openParent(() => process.exit(0))
  // An interrupt goes to the whole group of processes; the parent decides what it means for us.
  process.on('SIGINT', () => {})
  let fail = (cause: string): void => endProcess('worker', cause)
  process.on('uncaughtException', (error) => fail(describeError(error)))
  process.on('unhandledRejection', (error) => fail(describeError(error)))
  const assignment = Assignment.decode(await argument, 'assignment', () => {
    throw new TypeError('an assignment holds addresses, not refs')
  })
  const { member, incarnation, control } = assignment
  const environment = options.environment ?? realEnvironment({ seed: `${member}/${incarnation}` })
  const system = createSystem({
    environment,
    member,
    incarnation,
    token: assignment.token,
    limits: assignment.limits,
    definitions: options.definitions,
    ...(assignment.resources && { resources: assignment.resources }),
    onEscalated: (cause) => fail(cause),
  })
  const pool = system.ref<PoolMessage>(assignment.pool)
  fail = (cause) => {
    fail = () => {}
    const deviceFault = options.isDeviceFault?.(cause) ?? false
    const words = { type: 'failing', member, incarnation, cause, deviceFault } as const
    const isHeard = pool.tell(words) === 'accepted'
    const code = deviceFault ? EXIT_DEVICE_FAULT : 1
    // The link sends in a microtask; whatever becomes of it, the process ends. Whom the pool tells is
    // the pool's affair: one line of it is enough.
    const name = assignment.device === undefined ? member : `${member} on ${assignment.device}`
    const end = () =>
      isHeard && !isDebugging() ? process.exit(code) : endProcess(name, cause, code)
    environment.clock.after(FLUSH_MS, end)
  }
  endWithControl(system, assignment.pool.member)
  try {
    await system.listen()
    await system.join(control)
    for (const { kind, name, config } of assignment.actors) {
      // A crash ends the process: the pool starts a clean one.
      const restartLimit = { restartsMax: 0, windowMs: 1 }
      system.spawnKind(kind, config, { name, restart: 'transient', restartLimit })
    }
    const worker = system.spawn(workerActor, system, { name: WORKER_NAME })
    pool.tell({ type: 'ready', incarnation, worker })
  } catch (error) {
    fail(describeError(error))
  }
}

/** Takes orders from the pool. */
const workerActor: ActorDefinition<System, System, WorkerMessage> = {
  kind: 'worker',
  protocol: WorkerMessage,
  config: { decode: (value) => value as System },
  start: (system) => system,
  receive(system, { drainMs }) {
    void stopInOrder(system, drainMs)
    return next(system)
  },
}

// What has arrived is handled, what the actors then say is sent; only then are the links closed.
async function stopInOrder(system: System, drainMs: number): Promise<void> {
  await system.drain(drainMs / 2)
  const names = system.actors().filter(({ path }) => isOwnRoot(path))
  for (const { path } of names.reverse())
    system.stopActor(system.ref({ member: system.member, path }))
  await system.drain(drainMs / 2)
  system.stop()
  system.environment.clock.after(FLUSH_MS, () => process.exit(0))
}

function isOwnRoot(path: string): boolean {
  return !path.slice(1).includes('/') && path !== `/${WORKER_NAME}`
}

function endWithControl(system: System, control: string): void {
  system.inspect((event) => {
    // The pool hears of the cause; the stack is for whoever mends it.
    if (event.type === 'crashed' && isDebugging()) {
      process.stderr.write(`${system.member}${event.path} crashed: ${event.stack ?? event.cause}\n`)
    }
    if (event.type === 'member-lost' && event.member === control) {
      endProcess(system.member, `lost ${control}: ${event.cause}`)
    }
  })
}

function isDebugging(): boolean {
  return Boolean(process.env.TROUPE_DEBUG)
}

function endProcess(member: string, cause: string, code = 1): never {
  process.stderr.write(`${member}: ${cause}\n`)
  process.exit(code)
}
