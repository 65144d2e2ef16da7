// The contract of the process table: ends are seen with their cause, and no child outlives its parent.
import { deepEqual, equal, ok, rejects, throws } from 'node:assert/strict'
import { type AddressInfo, createServer } from 'node:net'
import process from 'node:process'
import { type Engine, EngineError, findEngine, ownEngine } from '../../runtime/engine.ts'
import type { Clock, Exit, Process, ProcessTable } from '../../runtime/environment.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { createSystem } from '../../runtime/system.ts'
import { createPool } from '../../runtime/worker/pool.ts'
import { type Case, group, type Queue, queue } from './cases.ts'
import type { ChildOrders, ChildReport } from './fixtures/child.ts'

/** A child's line: what it says, and when it ends. */
interface Call {
  readonly report: ChildReport
  readonly ended: Promise<void>
}

interface Fixture extends AsyncDisposable {
  readonly processes: ProcessTable
  readonly clock: Clock
  readonly calls: Queue<Call>
  start(
    orders?: Omit<ChildOrders, 'port'>,
    engine?: Engine,
  ): { child: Process; exit: Promise<Exit>; exits: readonly Exit[] }
  readonly port: number
}

const module = new URL('./fixtures/child.ts', import.meta.url).href

async function open(): Promise<Fixture> {
  const { processes, clock } = realEnvironment({ seed: 'processes' })
  const calls = queue<Call>()
  const children: Process[] = []
  const server = createServer((socket) => {
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    socket.on('data', (line: Uint8Array) => {
      calls.put({ report: JSON.parse(new TextDecoder().decode(line)), ended })
    })
    socket.on('error', () => {})
    socket.on('end', resolve)
    socket.on('close', () => resolve())
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  return {
    processes,
    clock,
    calls,
    port,
    start(orders = {}, engine) {
      const exits: Exit[] = []
      const { promise: exit, resolve } = Promise.withResolvers<Exit>()
      const onExit = (seen: Exit): void => {
        exits.push(seen)
        resolve(seen)
      }
      const argument: ChildOrders = { ...orders, port }
      const child = processes.spawn({ module, argument, onExit, ...(engine && { engine }) })
      children.push(child)
      return { child, exit, exits }
    },
    async [Symbol.asyncDispose]() {
      for (const child of children) child.kill('SIGKILL')
      server.close()
    },
  }
}

const processCases: readonly Case<Fixture>[] = [
  [
    'a child gets its argument, however long, and runs on what runs its parent',
    async ({ start, calls }) => {
      const { child } = start({ ballast: 'x'.repeat(300_000) })
      const { report } = await calls.take()
      const { id, engine, ballastLength } = report
      deepEqual([id, engine, ballastLength], [child.id, ownEngine(), 300_000])
    },
  ],
  [
    'its exit is seen once, with its code',
    async ({ start }) => {
      const { exit, exits } = start({ exitCode: 3 })
      deepEqual(await exit, { code: 3, processSignal: null })
      equal(exits.length, 1)
    },
  ],
  ...(['SIGKILL', 'SIGTERM'] as const).map(
    (processSignal): Case<Fixture> => [
      `its end by ${processSignal} is seen, with the name of the signal`,
      async ({ start, calls }) => {
        const { child, exit } = start()
        const { ended } = await calls.take()
        child.kill(processSignal)
        deepEqual(await exit, { code: null, processSignal })
        await ended
        // It is over: nobody else may get this signal.
        child.kill('SIGKILL')
      },
    ],
  ),
  [
    'stopped by SIGSTOP it still dies of SIGKILL',
    async ({ start, calls }) => {
      const { child, exit } = start()
      await calls.take()
      child.kill('SIGSTOP')
      child.kill('SIGKILL')
      equal((await exit).processSignal, 'SIGKILL')
    },
  ],
  [
    'it is alive by its identity until it ends, and so are we',
    async ({ start, calls, processes }) => {
      ok(processes.isAlive(processes.self))
      const { child, exit } = start()
      const { identity } = (await calls.take()).report
      ok(processes.isAlive(identity))
      child.kill('SIGKILL')
      await exit
      equal(processes.isAlive(identity), false)
    },
  ],
  [
    'it ends by itself when its parent is gone, without a word from it',
    async ({ start, calls, port }) => {
      const parent = start({ child: { port } })
      const both = [await calls.take(), await calls.take()]
      const grandchild = both.find(({ report }) => report.id !== parent.child.id)
      parent.child.kill('SIGKILL')
      await parent.exit
      await grandchild?.ended
      ok(grandchild !== undefined)
    },
  ],
  [
    'a module that is not there is an exit with code 1',
    async ({ processes }) => {
      const { promise: exit, resolve } = Promise.withResolvers<Exit>()
      const missing = new URL('./fixtures/no-such-module.ts', import.meta.url).href
      processes.spawn({ module: missing, argument: {}, onExit: resolve })
      deepEqual(await exit, { code: 1, processSignal: null })
    },
  ],
  [
    'an engine that is not on the PATH is refused by name, by the pool too, and not tried again',
    async ({ start, processes }) => {
      const other: Engine = ownEngine() === 'bun' ? 'deno' : 'bun'
      const { PATH } = process.env
      process.env.PATH = ''
      try {
        throws(() => start({}, other), new EngineError(refusalOf(other)))
        throws(() => processes.checkEngine?.(other), EngineError)
        equal(findEngine(ownEngine() as Engine), process.execPath)
        await rejects(poolOn(other), new Error(`EngineError: ${refusalOf(other)}`))
      } finally {
        process.env.PATH = PATH
      }
    },
  ],
]

function refusalOf(engine: Engine): string {
  return `${engine} is not on the PATH: install it (npm install -g ${engine})`
}

/** Rejects with the cause for which a pool gives its worker up. */
async function poolOn(engine: Engine): Promise<void> {
  const environment = realEnvironment({ seed: 'pool' })
  const system = createSystem({ environment, member: 'control' })
  const pool = createPool({ system, module })
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  pool.start({
    name: 'worker',
    engine,
    actors: () => [],
    onEvent(event) {
      if (event.type === 'gave-up') reject(new Error(event.cause))
      else resolve()
    },
  })
  await promise.finally(async () => {
    await pool.stop()
    system.stop()
  })
}

export const processTable = group('a process', open, processCases)
