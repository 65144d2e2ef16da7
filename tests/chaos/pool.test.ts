// Worker processes that die, hang, fail and lose their parent.
import { afterEach, describe, expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'
import type { Limits } from '../../protocol/limits.ts'
import { AskError } from '../../runtime/actor.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { createSystem, type System } from '../../runtime/system.ts'
import { EXIT_DEVICE_FAULT } from '../../runtime/worker/devices.ts'
import {
  createPool,
  type Pool,
  type PoolEvent,
  type PoolOptions,
  type PoolWorker,
  type WorkerOptions,
} from '../../runtime/worker/pool.ts'
import type { EchoMessage } from './fixtures/actors.ts'

const fixture = (name: string): string =>
  fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))
const opened: { system: System; pool: Pool }[] = []

afterEach(async () => {
  for (const { system, pool } of opened.splice(0)) {
    await pool.stop()
    system.stop()
  }
})

function open(
  options: { limits?: Partial<Limits>; pool?: PoolOptions['limits']; life?: number } = {},
) {
  const environment = realEnvironment({ seed: 'pool' })
  const { limits = {} } = options
  const system = createSystem({ environment, member: 'control', token: 'secret', limits })
  const pool = createPool({
    system,
    module: fixture('worker.ts'),
    life: options.life ?? 0,
    ...(options.pool && { limits: options.pool }),
  })
  opened.push({ system, pool })
  return { system, pool }
}

interface Watched {
  readonly worker: PoolWorker
  readonly events: PoolEvent[]
  /** The first event of that kind, of that incarnation. */
  when<T extends PoolEvent['type']>(
    type: T,
    incarnation?: number,
  ): Promise<Extract<PoolEvent, { type: T }> & { at: number }>
}

function startWorker(
  pool: Pool,
  options: Partial<WorkerOptions> & { greeting?: string } = {},
): Watched {
  const events: (PoolEvent & { at: number })[] = []
  let wake = Promise.withResolvers<void>()
  const { greeting = '', ...rest } = options
  const worker = pool.start({
    name: 'worker-0',
    actors: () => [{ kind: 'echo', name: 'echo', config: { greeting } }],
    ...rest,
    onEvent(event) {
      events.push({ ...event, at: performance.now() })
      wake.resolve()
      wake = Promise.withResolvers()
    },
  })
  return {
    worker,
    events,
    async when(type, incarnation) {
      for (;;) {
        const found = events.find(
          (event) =>
            event.type === type && (incarnation ?? event.incarnation) === event.incarnation,
        )
        if (found) return found as never
        await wake.promise
      }
    },
  }
}

function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0)
    return true
  } catch {
    return false
  }
}

async function isGoneWithin(processId: number, ms: number): Promise<boolean> {
  for (let waited = 0; waited < ms && isAlive(processId); waited += 10) await Bun.sleep(10)
  return !isAlive(processId)
}

describe('a worker process', () => {
  test('killed by SIGKILL comes back; asks fail at once and then reach the successor by the same ref', async () => {
    const { system, pool } = open()
    const { worker, when, events } = startWorker(pool)
    await when('ready', 1)
    const far = system.ref<EchoMessage>({ member: 'worker-0', path: '/echo' })
    expect(await system.ask(far, { type: 'echo', text: 'one' }, { timeoutMs: 2_000 })).toBe('one')
    const held = system.ask(far, { type: 'hold' }, { timeoutMs: 60_000 })
    const killedAt = performance.now()
    worker.kill('SIGKILL')
    const failure = await held.catch((error: unknown) => error)
    const failedMs = performance.now() - killedAt
    expect(failure).toBeInstanceOf(AskError)
    expect((failure as AskError).failure).toBe('unreachable')
    expect(failedMs).toBeLessThan(250)
    const { at } = await when('ready', 2)
    console.log(
      `SIGKILL to failed ask ${failedMs.toFixed(1)} ms, to ready ${(at - killedAt).toFixed(0)} ms`,
    )
    expect(at - killedAt).toBeLessThan(2_000)
    expect(await system.ask(far, { type: 'echo', text: 'two' }, { timeoutMs: 2_000 })).toBe('two')
    expect(events.map(({ type }) => type)).toEqual([
      'started',
      'ready',
      'exited',
      'restarting',
      'started',
      'ready',
    ])
    expect(events[2]).toMatchObject({ cause: 'killed by SIGKILL', incarnation: 1 })
    expect(events[3]).toMatchObject({ delayMs: 0, incarnation: 2 })
  }, 10_000)

  test('stopped by SIGSTOP is killed and replaced when its heartbeats are missed', async () => {
    const { pool } = open({ limits: { heartbeatMs: 50, silenceMsMax: 400 } })
    const { worker, when } = startWorker(pool)
    await when('ready', 1)
    const stoppedAt = performance.now()
    worker.kill('SIGSTOP')
    const exited = await when('exited', 1)
    expect(exited.cause).toMatch(/no heartbeat for 400 ms/)
    expect(exited.exit.processSignal).toBe('SIGKILL')
    expect(exited.at - stoppedAt).toBeGreaterThan(300)
    const { at } = await when('ready', 2)
    console.log(`SIGSTOP to ready ${(at - stoppedAt).toFixed(0)} ms with a limit of 400 ms`)
  }, 10_000)

  test('whose actor crashes ends with the cause, and a clean one takes its place', async () => {
    const { system, pool } = open()
    const { when } = startWorker(pool)
    await when('ready', 1)
    system
      .ref<EchoMessage>({ member: 'worker-0', path: '/echo' })
      .tell({ type: 'crash', cause: 'as told' })
    const { cause, exit } = await when('exited', 1)
    expect(cause).toBe('/echo: TypeError: as told')
    expect(exit.code).toBe(1)
    await when('ready', 2)
  }, 10_000)

  test('whose device fails says so, exits by a code of its own, and its successor has the next device', async () => {
    const { system, pool } = open()
    const devices = { choices: ['gpu:0', 'gpu:1'], exclusive: ['gpu:0', 'gpu:1'] }
    const { worker, when } = startWorker(pool, { devices: { ...devices, policy: 'next' } })
    expect((await when('started', 1)).device).toBe('gpu:0')
    await when('ready', 1)
    system
      .ref<EchoMessage>({ member: 'worker-0', path: '/echo' })
      .tell({ type: 'crash', cause: 'DeviceError: gpu:0 is lost' })
    expect(await when('exited', 1)).toMatchObject({
      cause: '/echo: TypeError: DeviceError: gpu:0 is lost',
      exit: { code: EXIT_DEVICE_FAULT },
      device: 'gpu:0',
      isDeviceFault: true,
    })
    expect(await when('restarting', 2)).toMatchObject({ device: 'gpu:1', deviceReason: 'moved' })
    expect((await when('started', 2)).device).toBe('gpu:1')
    await when('ready', 2)
    expect(worker.device).toBe('gpu:1')
  }, 10_000)

  test('with an uncaught error ends with the cause', async () => {
    const { system, pool } = open()
    const { when } = startWorker(pool)
    await when('ready', 1)
    system
      .ref<EchoMessage>({ member: 'worker-0', path: '/echo' })
      .tell({ type: 'fault', cause: 'from a timer' })
    const { cause, exit } = await when('exited', 1)
    expect(cause).toBe('TypeError: from a timer')
    expect(exit.code).toBe(1)
  }, 10_000)

  test('that cannot start gives up after its limit, and says why', async () => {
    const { pool } = open({ pool: { restartDelayMs: 5 } })
    const restartLimit = { restartsMax: 2, windowMs: 60_000 }
    const { worker, when, events } = startWorker(pool, { greeting: 'fail', restartLimit })
    const { cause } = await when('gave-up')
    expect(cause).toContain('/echo did not start: TypeError: this greeting fails')
    expect(events.filter(({ type }) => type === 'exited')).toHaveLength(3)
    expect(worker.state).toBe('stopped')
  }, 10_000)

  test('that never gets ready is given up, however many restarts it has left', async () => {
    const { pool } = open({ pool: { restartDelayMs: 5, startFailuresMax: 3 } })
    const restartLimit = { restartsMax: 1_000, windowMs: 60_000 }
    const { when, events } = startWorker(pool, { greeting: 'fail', restartLimit })
    await when('gave-up')
    expect(events.filter(({ type }) => type === 'exited')).toHaveLength(3)
  }, 10_000)

  test('has incarnations above those of every former life of its pool', async () => {
    const { pool } = open({ life: 2 })
    const { worker, when } = startWorker(pool)
    await when('ready', 2 * 1_024 + 1)
    expect(worker.incarnation).toBe(2_049)
  }, 10_000)

  test('of an unknown kind, or of no module, gives up too', async () => {
    const { system, pool } = open({ pool: { restartDelayMs: 5 } })
    const restart = 'temporary'
    const unknown = startWorker(pool, {
      restart,
      actors: () => [{ kind: 'unheard-of', name: 'x', config: {} }],
    })
    expect((await unknown.when('exited')).cause).toContain('knows no unheard-of')
    const empty = createPool({ system, module: fixture('no-such-module.ts') })
    const missing = startWorker(empty, { restart, name: 'worker-1' })
    expect((await missing.when('exited')).exit.code).toBe(1)
  }, 10_000)

  test('stops when told: what it was sent is handled, and it exits cleanly', async () => {
    const { system, pool } = open()
    const { worker, when, events } = startWorker(pool)
    await when('ready', 1)
    const { processId = 0 } = worker
    const far = system.ref<EchoMessage>({ member: 'worker-0', path: '/echo' })
    const last = system.ask(far, { type: 'echo', text: 'last' }, { timeoutMs: 2_000 })
    await worker.stop()
    expect(await last).toBe('last')
    expect(isAlive(processId)).toBe(false)
    expect(worker.state).toBe('stopped')
    expect(events.at(-1)).toMatchObject({ type: 'exited', exit: { code: 0 } })
    await worker.stop()
  }, 10_000)

  test('that hangs is stopped all the same', async () => {
    const { pool } = open({ pool: { drainMsMax: 100, termMsMax: 100 } })
    const { worker, when } = startWorker(pool)
    await when('ready', 1)
    worker.kill('SIGSTOP')
    await worker.stop()
    expect((await when('exited')).exit.processSignal).toBe('SIGKILL')
  }, 10_000)
})

describe('no orphans', () => {
  test('a worker ends when its parent is killed', async () => {
    const parent = Bun.spawn([process.execPath, fixture('parent.ts')], { stdout: 'pipe' })
    const reader = parent.stdout.getReader()
    const { value } = await reader.read()
    const processId = Number(new TextDecoder().decode(value))
    expect(isAlive(processId)).toBe(true)
    const killedAt = performance.now()
    parent.kill('SIGKILL')
    expect(await isGoneWithin(processId, 3_000)).toBe(true)
    console.log(`parent's SIGKILL to worker's end ${(performance.now() - killedAt).toFixed(0)} ms`)
    await parent.exited
  }, 10_000)

  test('stopping a pool while a worker starts leaves none', async () => {
    const { pool } = open()
    const { worker, when } = startWorker(pool)
    const { processId } = await when('started')
    await pool.stop()
    expect(isAlive(processId)).toBe(false)
    expect(worker.state).toBe('stopped')
  }, 10_000)
})
