// Worker processes that are seen and steered from the control process: statuses, logs, actors, links.
import { afterEach, expect, test } from 'bun:test'
import { fileURLToPath } from 'node:url'
import {
  createObserver,
  createPool,
  createSystem,
  injectFault,
  type MemberStatus,
  type Observation,
  type Observer,
  type Pool,
  type PoolEvent,
  ProtectedActorError,
  realEnvironment,
  steerActor,
  type System,
} from '../../runtime/index.ts'
import type { EchoMessage } from './fixtures/actors.ts'

const opened: { system: System; pool: Pool; observer: Observer }[] = []

afterEach(async () => {
  for (const { system, pool, observer } of opened.splice(0)) {
    observer.stop()
    await pool.stop()
    system.stop()
  }
})

function open({ allowFaults = false } = {}) {
  const environment = realEnvironment({ seed: 'steer' })
  const limits = { heartbeatMs: 100, silenceMsMax: 500 }
  const system = createSystem({ environment, member: 'control', token: 'secret', limits })
  const module = fileURLToPath(new URL('./fixtures/worker.ts', import.meta.url))
  const pool = createPool({ system, module, allowFaults })
  const observer = createObserver({ system, everyMs: 50, answerMsMax: 300 })
  opened.push({ system, pool, observer })
  return { system, pool, observer, ref: system.ref<EchoMessage>({ member: 'far', path: '/echo' }) }
}

function start(pool: Pool, name = 'far') {
  const events: PoolEvent[] = []
  let wake = Promise.withResolvers<void>()
  const worker = pool.start({
    name,
    actors: () => [{ kind: 'echo', name: 'echo', config: { greeting: '' } }],
    onEvent(event) {
      events.push(event)
      wake.resolve()
      wake = Promise.withResolvers()
    },
  })
  const when = async (type: PoolEvent['type'], incarnation: number): Promise<PoolEvent> => {
    for (;;) {
      const found = events.find((each) => each.type === type && each.incarnation === incarnation)
      if (found) return found
      await wake.promise
    }
  }
  return { worker, events, when }
}

const statusOf = (observer: Observer, member: string): MemberStatus | undefined =>
  observer.statuses().find((status) => status.member === member)
const echoOf = (observer: Observer) =>
  statusOf(observer, 'far')?.actors.find(({ path }) => path === '/echo')

test('the control process sees the actors, links and memory of another member', async () => {
  const { system, pool, observer, ref } = open()
  await start(pool).when('ready', 1)
  await system.ask(ref, { type: 'echo', text: 'one' }, { timeoutMs: 2_000 })
  await observer.refresh()
  const status = statusOf(observer, 'far')
  expect(status).toMatchObject({ isStale: false, incarnation: 1 })
  expect(status?.actors.map(({ path }) => path).sort()).toEqual(['/echo', '/spawner', '/worker'])
  expect(status?.memoryBytes).toBeGreaterThan(10 << 20)
  const [there] = status?.links.filter(({ member }) => member === 'control') ?? []
  const [here] = system.links()
  expect(there).toMatchObject({ isConnected: true })
  for (const bytes of [there?.sentBytes, there?.receivedBytes, here?.sentBytes]) {
    expect(bytes).toBeGreaterThan(100)
  }
  // What one side has sent the other has received, but for what is on its way.
  expect(here?.receivedBytes).toBeGreaterThanOrEqual(there?.sentBytes ?? Infinity)
  expect(observer.statuses()[0]?.member).toBe('control')
})

test('what happens in a member is heard once, in order; a new life begins its log afresh', async () => {
  const { pool, observer, ref } = open()
  const heard: Observation[] = []
  observer.onLog((entry) => void (entry.member === 'far' && heard.push(entry)))
  const { when } = start(pool)
  await when('ready', 1)
  await observer.refresh()
  await observer.refresh()
  const sequences = heard.map(({ sequence }) => sequence)
  expect(sequences).toEqual(sequences.map((_, index) => index + 1))
  ref.tell({ type: 'crash', cause: 'as told' })
  await when('ready', 2)
  await observer.refresh()
  const ofSecond = heard.filter(({ incarnation }) => incarnation === 2)
  expect(ofSecond[0]?.sequence).toBe(1)
  expect(ofSecond.some(({ event }) => event.type === 'spawned')).toBe(true)
})

test('a member that hangs is stale, and holds up nobody', async () => {
  const { pool, observer } = open()
  const { worker, when } = start(pool)
  const near = start(pool, 'near')
  await Promise.all([when('ready', 1), near.when('ready', 1)])
  await observer.refresh()
  worker.kill('SIGSTOP')
  await observer.refresh()
  expect(statusOf(observer, 'far')).toMatchObject({ isStale: true, incarnation: 1 })
  expect(statusOf(observer, 'far')?.actors.length).toBe(3)
  expect(statusOf(observer, 'near')?.isStale).toBe(false)
  worker.kill('SIGCONT')
})

test('an actor of another member is restarted with a fresh state, as often as wanted', async () => {
  const { system, pool, observer, ref } = open()
  await start(pool).when('ready', 1)
  const address = { member: 'far', path: '/echo' }
  // Its restart limit allows no crash at all.
  for (let time = 1; time <= 3; time++) {
    ref.tell({ type: 'count', value: time })
    expect(await steerActor(system, address, 'restart')).toBe('accepted')
    const counted = await system.ask(ref, { type: 'counted' }, { timeoutMs: 2_000 })
    expect(counted).toEqual([])
    await observer.refresh()
    expect(echoOf(observer)).toMatchObject({ restarts: time })
  }
  expect(statusOf(observer, 'far')?.incarnation).toBe(1)
})

test('an actor that is crashed from outside is judged by its supervisor', async () => {
  const { system, pool } = open()
  const { when } = start(pool)
  await when('ready', 1)
  await steerActor(system, { member: 'far', path: '/echo' }, 'crash')
  const exited = await when('exited', 1)
  expect(exited).toMatchObject({ isAsked: false })
  expect('cause' in exited && exited.cause).toContain('killed on request')
  await when('ready', 2)
})

test('what is not there is said, and what the runtime needs is refused', async () => {
  const { system, pool } = open()
  await start(pool).when('ready', 1)
  expect(await steerActor(system, { member: 'far', path: '/none' }, 'stop')).toBe('stopped')
  for (const path of ['/worker', '/spawner']) {
    const refused = steerActor(system, { member: 'far', path }, 'stop')
    await expect(refused).rejects.toBeInstanceOf(ProtectedActorError)
  }
})

test('a process restarts in order: the next incarnation, and nobody died', async () => {
  const { pool } = open()
  const { worker, events, when } = start(pool)
  await when('ready', 1)
  await worker.restart()
  await when('ready', 2)
  expect(events.map(({ type }) => type)).toEqual(['started', 'ready', 'exited', 'started', 'ready'])
  expect(events[2]).toMatchObject({ isAsked: true, exit: { code: 0 } })
})

test('a name that was given back goes on with its incarnations', async () => {
  const { pool } = open()
  await start(pool).when('ready', 1)
  await pool.remove('far')
  expect(pool.workers.has('far')).toBe(false)
  const { worker, when } = start(pool)
  await when('ready', 2)
  expect(worker.incarnation).toBe(2)
})

test('a fault that nobody allowed is refused', async () => {
  const { system, pool } = open()
  await start(pool).when('ready', 1)
  const fault = { from: 'far', fault: { type: 'partition' }, durationMs: 10_000 } as const
  expect(await injectFault(system, fault)).toBe('forbidden')
})

test('a long partition ends as a real one: the member is lost, and its successor is reached', async () => {
  const { system, pool, ref } = open({ allowFaults: true })
  const { when } = start(pool)
  await when('ready', 1)
  const fault = { from: 'far', fault: { type: 'partition' }, durationMs: 60_000 } as const
  expect(await injectFault(system, fault)).toBe('accepted')
  const exited = await when('exited', 1)
  // Both ends hear nothing; whoever notices first ends the process.
  expect('cause' in exited && exited.cause).toMatch(/heartbeat|exited with code 1/)
  await when('ready', 2)
  expect(await system.ask(ref, { type: 'echo', text: 'two' }, { timeoutMs: 2_000 })).toBe('two')
})
