// What a worker process runs: it reads its assignment and serves it. It never outlives its parent, and a
// crash that its actors' policies do not cover ends it.
import process from 'node:process'
import type { AnyDefinition } from '../actor.ts'
import type { Environment } from '../environment.ts'
import { realEnvironment } from '../environment-real.ts'
import { describeError } from '../lives.ts'
import { exportTraces, traceExportOptions } from '../trace-export.ts'
import { openParent } from './parent.ts'
import { type LastWords, readAssignment, type Service, serveAssignment } from './serve.ts'

export interface RunWorkerOptions {
  /** Every kind that this process may be told to start. */
  readonly definitions: readonly AnyDefinition[]
  /** Default: the real one, seeded with the member's name and incarnation. */
  readonly environment?: Environment
  /** Whether this cause of death is a fault of the device that the process owns. Default: none is. */
  readonly isDeviceFault?: (cause: string) => boolean
}

/** Resolves when the actors are started; the process lives on. */
export async function runWorker(options: RunWorkerOptions): Promise<void> {
  const { definitions, environment, isDeviceFault } = options
  const argument = openParent(() => process.exit(0))
  let name = 'worker'
  const exit = (code: number, lastWords?: LastWords): never => {
    if (lastWords && (isDebugging() || !lastWords.isToldToPool)) {
      process.stderr.write(`${name}: ${lastWords.cause}\n`)
    }
    process.exit(code)
  }
  let fail = (cause: string): void => exit(1, { cause, isToldToPool: false })
  // An interrupt goes to the whole group of processes; the parent decides what it means for us.
  process.on('SIGINT', () => {})
  process.on('uncaughtException', (error) => fail(describeError(error)))
  process.on('unhandledRejection', (error) => fail(describeError(error)))
  const assignment = readAssignment(await argument)
  const { member, incarnation, device } = assignment
  name = device === undefined ? member : `${member} on ${device}`
  const service = serveAssignment(assignment, {
    environment: environment ?? realEnvironment({ seed: `${member}/${incarnation}` }),
    definitions,
    exit,
    ...(isDeviceFault && { isDeviceFault }),
  })
  fail = service.fail
  const traces = traceExportOptions(process.env)
  if (traces) exportTraces(service.system, traces)
  if (isDebugging()) reportCrashes(service.system)
  await service.started
}

// The pool hears of the cause; the stack is for whoever mends it.
function reportCrashes(system: Service['system']): void {
  system.inspect((event) => {
    if (event.type !== 'crashed') return
    process.stderr.write(`${system.member}${event.path} crashed: ${event.stack ?? event.cause}\n`)
  })
}

function isDebugging(): boolean {
  return Boolean(process.env.TROUPE_DEBUG)
}
