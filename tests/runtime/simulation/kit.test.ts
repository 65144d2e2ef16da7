import { describe, expect, test } from 'bun:test'
import { type Infer, plain, replyTo, text, u32, union } from '../../../protocol/schema.ts'
import { type ActorDefinition, AskError, next, stop } from '../../../runtime/actor.ts'
import {
  createTestKit,
  ExpectationError,
  SimulationError,
} from '../../../runtime/simulation/index.ts'
import { simulate } from '../../../runtime/simulation/simulate.ts'
import { createPool, type PoolEvent } from '../../../runtime/worker/pool.ts'

const CounterMessage = union({
  add: { amount: u32 },
  total: { replyTo: replyTo<number>() },
  forward: { to: replyTo<{ readonly type: string }>() },
  breed: { name: text },
  finish: {},
})
type CounterMessage = Infer<typeof CounterMessage>

const counter: ActorDefinition<undefined, number, CounterMessage> = {
  kind: 'counter',
  protocol: CounterMessage,
  config: plain as never,
  start: () => 0,
  receive(total, message, context) {
    switch (message.type) {
      case 'add':
        return next(total + message.amount)
      case 'total':
        message.replyTo.tell(total)
        return next(total)
      case 'forward':
        message.to.tell({ type: 'forwarded' })
        return next(total)
      case 'breed':
        context.spawn(counter, undefined, { name: message.name })
        return next(total)
      case 'finish':
        return stop()
    }
  },
}

const failureOf = async (asked: Promise<unknown>): Promise<string> => {
  try {
    return `answered ${await asked}`
  } catch (error) {
    return error instanceof AskError ? error.failure : String(error)
  }
}
const messageOf = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'no failure',
    (error: Error) => error.message,
  )

describe('a kit', () => {
  test('has members that know each other and talk over the network', async () => {
    const kit = await createTestKit({ members: ['a', 'b'], definitions: [counter] })
    const names = kit
      .member('a')
      .members()
      .map(({ member }) => member)
    expect(names.sort()).toEqual(['a', 'b', 'control'])
    const far = await kit.until(kit.member('a').spawnOn('b', counter, undefined, { name: 'far' }))
    far.tell({ type: 'add', amount: 2 })
    const asked = kit.member('a').ask(far, { type: 'total' }, { timeoutMs: 1_000 })
    expect(await kit.until(asked)).toBe(2)
    expect(
      kit.events.filter(({ event }) => event.type === 'spawned' && event.path === '/far'),
    ).toMatchObject([{ member: 'b', incarnation: 1 }])
  })

  test('says which members run when one is asked for that does not', async () => {
    const kit = await createTestKit({ members: ['a'] })
    expect(() => kit.member('b')).toThrow('b is not running, only control, a')
    await expect(kit.join('a')).rejects.toThrow('a is running')
  })

  test('a killed member says no goodbye; its next life replaces it and finds its disk', async () => {
    const kit = await createTestKit({ members: ['a', 'b'] })
    const probe = kit.probe()
    const ref = kit.member('a').spawn(counter, undefined, { name: 'counter' })
    kit.member('a').environment.disk.write('note', Uint8Array.of(7))
    probe.watch(kit.control.ref(ref.address))
    await kit.advance(10)
    const gone = kit.member('a')
    kit.kill('a')
    expect(() => gone.environment.disk.write('note', Uint8Array.of(8))).toThrow('disk error EIO')
    const down = await probe.expectDown(undefined, 20_000)
    expect(down.reason.type).toBe('unreachable')
    const successor = await kit.join('a')
    expect(successor.incarnation).toBe(2)
    expect([...successor.environment.disk.read('note')]).toEqual([7])
  })

  test('a frozen member does nothing until it is thawed, and is not lost before the limit', async () => {
    const kit = await createTestKit({ members: ['a'] })
    const ref = kit.member('a').spawn(counter, undefined, { name: 'counter' })
    const remote = kit.control.ref<CounterMessage>(ref.address)
    kit.freeze('a')
    const asked = kit.control.ask(remote, { type: 'total' }, { timeoutMs: 10_000 })
    await kit.advance(3_000)
    kit.thaw('a')
    expect(await kit.until(asked)).toBe(0)
    kit.freeze('a')
    await kit.advance(7_000)
    expect(kit.events.some(({ event }) => event.type === 'member-lost')).toBe(true)
  })

  test('until gives up after its limit, in virtual time', async () => {
    const kit = await createTestKit()
    await expect(kit.until(new Promise(() => {}), 500)).rejects.toThrow('not settled within 500 ms')
    await expect(kit.until(() => false, 500)).rejects.toThrow(ExpectationError)
    expect(kit.clock.now()).toBeLessThan(2_000)
  })

  test('the same seed gives the same events at the same times, another seed others', async () => {
    const events = async (seed: number): Promise<string> => {
      const kit = await createTestKit({
        seed,
        members: ['a', 'b'],
        jitterMs: 10,
        definitions: [counter],
      })
      await kit.until(kit.member('a').spawnOn('b', counter, undefined, { name: 'far' }))
      kit.kill('a')
      await kit.advance(20_000)
      return JSON.stringify(kit.events)
    }
    const first = await events(1)
    expect(await events(1)).toBe(first)
    expect(await events(2)).not.toBe(first)
  })
})

describe('a probe', () => {
  test('hears what it is told, in order, and answers', async () => {
    const kit = await createTestKit({ members: ['a'] })
    const probe = kit.probe(CounterMessage)
    const asked = kit.member('a').ask(
      kit.member('a').ref<CounterMessage>(probe.address),
      { type: 'total' },
      {
        timeoutMs: 1_000,
      },
    )
    probe.tell({ type: 'add', amount: 1 })
    expect(await probe.expect('add')).toEqual({ type: 'add', amount: 1 })
    await probe.expect('total')
    expect(probe.reply(12)).toBe('accepted')
    expect(await kit.until(asked)).toBe(12)
    await probe.expectNothing()
    expect(probe.received).toHaveLength(2)
  })

  test('can be sent in a message, as any ref', async () => {
    const kit = await createTestKit({ members: ['a'] })
    const probe = kit.probe<{ type: 'forwarded' }>()
    const ref = kit.member('a').spawn(counter, undefined, { name: 'counter' })
    kit.control.ref<CounterMessage>(ref.address).tell({ type: 'forward', to: probe })
    await probe.expect('forwarded')
  })

  test('says what came instead of what it expected', async () => {
    const kit = await createTestKit()
    const probe = kit.probe(CounterMessage)
    expect(await messageOf(probe.expect('add', 50))).toBe(
      "probe-1 expected 'add' within 50 ms, but nothing came",
    )
    probe.tell({ type: 'total', replyTo: kit.probe() })
    probe.tell({ type: 'add', amount: 3 })
    expect(await messageOf(probe.expect('add'))).toMatch(
      /expected 'add', but this came:\n {2}at \d+ ms \{ type: 'total', replyTo: 'control\/probe-2' \}\n {2}at \d+ ms \{ type: 'add', amount: 3 \}$/,
    )
    expect(await messageOf(probe.expectNothing())).toMatch(/expected nothing, but this came:/)
    expect(await probe.expectEventually((message) => message.type === 'add')).toEqual({
      type: 'add',
      amount: 3,
    })
    await probe.expectNothing()
    expect(await messageOf(probe.expectEventually('finish', 10))).toMatch(/but nothing came/)
    expect(() => probe.reply(1)).toThrow('no message with a replyTo')
  })

  test('is told of deaths', async () => {
    const kit = await createTestKit()
    const probe = kit.probe()
    const ref = kit.control.spawn(counter, undefined, { name: 'counter' })
    probe.watch(ref)
    expect(await messageOf(probe.expectDown(ref, 50))).toMatch(
      /the end of control\/counter within 50 ms/,
    )
    ref.tell({ type: 'finish' })
    expect((await probe.expectDown(ref)).reason).toEqual({ type: 'stopped' })
  })
})

describe('faults', () => {
  const setUp = async () => {
    const kit = await createTestKit({ members: ['a'] })
    const ref = kit.member('a').spawn(counter, undefined, { name: 'counter' })
    const total = (): Promise<string> =>
      kit.until(failureOf(kit.member('a').ask(ref, { type: 'total' }, { timeoutMs: 500 })))
    return { kit, ref, total }
  }

  test('crash at a step, once; the actor is restarted without its state', async () => {
    const { kit, ref, total } = await setUp()
    kit.faults.crash('/counter', { atStep: 2 })
    ref.tell({ type: 'add', amount: 1 })
    await kit.settle()
    ref.tell({ type: 'add', amount: 10 })
    await kit.settle()
    ref.tell({ type: 'add', amount: 100 })
    expect(await total()).toBe('answered 100')
    expect(kit.faults.steps('/counter')).toBe(4)
    const crash = kit.events.find(({ event }) => event.type === 'crashed')?.event
    expect(crash).toMatchObject({ cause: 'InjectedFault: /counter at step 2, before handling it' })
  })

  test('crash after handling: what was said is said', async () => {
    const { kit, total } = await setUp()
    kit.faults.crash('/counter', { when: 'after' })
    expect(await total()).toBe('answered 0')
    expect(kit.events.some(({ event }) => event.type === 'crashed')).toBe(true)
  })

  test('drop, stop and hang', async () => {
    const { kit, ref, total } = await setUp()
    kit.faults.drop('/counter', { atStep: 1, member: 'a' })
    ref.tell({ type: 'add', amount: 1 })
    ref.tell({ type: 'add', amount: 2 })
    expect(await total()).toBe('answered 2')
    kit.faults.hang('/counter')
    expect(await total()).toBe('timeout')
    expect(await total()).toBe('timeout')
    const other = kit.member('a').spawn(counter, undefined, { name: 'other' })
    kit.faults.stop('/other')
    const asked = kit.member('a').ask(other, { type: 'total' }, { timeoutMs: 500 })
    expect(await kit.until(failureOf(asked))).toBe('died')
    expect(kit.faults.pending).toEqual([])
  })

  test('a delay keeps the order of what comes meanwhile', async () => {
    const { kit, ref, total } = await setUp()
    kit.faults.delay('/counter', { ms: 200 })
    ref.tell({ type: 'add', amount: 1 })
    const asked = total()
    await kit.advance(0)
    ref.tell({ type: 'add', amount: 5 })
    expect(await asked).toBe('answered 1')
    expect(kit.clock.now()).toBeGreaterThan(200)
    expect(await total()).toBe('answered 6')
    expect(kit.faults.steps('/counter')).toBe(4)
  })

  test('reach children, restarted lives and actors spawned from afar', async () => {
    const kit = await createTestKit({ members: ['a'], definitions: [counter] })
    const far = await kit.until(kit.control.spawnOn('a', counter, undefined, { name: 'far' }))
    kit.faults.crash('/far/child', { atStep: 1 })
    kit.faults.crash('/far', { atStep: 3 })
    far.tell({ type: 'breed', name: 'child' })
    await kit.advance(10)
    kit.control
      .ref<CounterMessage>({ member: 'a', path: '/far/child' })
      .tell({ type: 'add', amount: 1 })
    far.tell({ type: 'add', amount: 1 })
    await kit.advance(100)
    far.tell({ type: 'add', amount: 1 })
    await kit.advance(100)
    const crashes = kit.events.flatMap(({ event }) =>
      event.type === 'crashed' ? [event.path] : [],
    )
    expect(crashes).toEqual(['/far/child', '/far'])
  })

  test('that cannot happen any more are refused, those that wait are listed', async () => {
    const { kit, ref } = await setUp()
    ref.tell({ type: 'add', amount: 1 })
    await kit.settle()
    expect(() => kit.faults.crash('/counter', { atStep: 1 })).toThrow(
      'a/counter has taken 1 messages',
    )
    kit.faults.crash('/nobody', { atStep: 4, member: 'b' })
    expect(kit.faults.pending).toEqual(['crash of /nobody on b at step 4'])
  })
})

describe('a pool of simulated processes', () => {
  const setUp = async () => {
    const kit = await createTestKit()
    const pool = createPool({ system: kit.control, module: kit.workerModule([counter]) })
    const events: PoolEvent[] = []
    const worker = pool.start({
      name: 'worker-0',
      actors: () => [{ kind: 'counter', name: 'counter', config: null }],
      onEvent: (event) => void events.push(event),
    })
    const state = (wanted: string) => kit.until(() => worker.state === wanted)
    const ref = kit.control.ref<CounterMessage>({ member: 'worker-0', path: '/counter' })
    const total = () =>
      kit.until(failureOf(kit.control.ask(ref, { type: 'total' }, { timeoutMs: 1_000 })))
    return { kit, pool, worker, events, state, ref, total }
  }

  test('starts, replaces after SIGKILL and stops as with real ones', async () => {
    const { kit, pool, worker, events, state, total } = await setUp()
    await state('ready')
    expect(await total()).toBe('answered 0')
    worker.kill('SIGKILL')
    await kit.until(() => worker.incarnation === 2 && worker.state === 'ready')
    expect(await total()).toBe('answered 0')
    await kit.until(pool.stop())
    expect(events.map(({ type }) => type)).toEqual([
      'started',
      'ready',
      'exited',
      'restarting',
      'started',
      'ready',
      'exited',
    ])
    expect(events.at(-1)).toMatchObject({ exit: { code: 0, processSignal: null } })
    expect(kit.processes.running).toHaveLength(1)
  })

  test('kills one that hangs when its heartbeats are missed', async () => {
    const { kit, worker, events, state } = await setUp()
    await state('ready')
    worker.kill('SIGSTOP')
    await kit.until(() => worker.incarnation === 2 && worker.state === 'ready')
    const exit = events.find(({ type }) => type === 'exited')
    expect(exit).toMatchObject({ exit: { processSignal: 'SIGKILL' } })
    expect(exit?.type === 'exited' && exit.cause).toMatch(/no heartbeat/)
  })

  test('an actor that crashes by a fault ends its process, with the cause', async () => {
    const { kit, worker, events, state, ref } = await setUp()
    await state('ready')
    kit.faults.crash('/counter', { member: 'worker-0' })
    ref.tell({ type: 'add', amount: 1 })
    await kit.until(() => worker.incarnation === 2 && worker.state === 'ready')
    const exit = events.find(({ type }) => type === 'exited')
    expect(exit?.type === 'exited' && exit.cause).toMatch(/InjectedFault: \/counter at step 1/)
  })

  test('workers end with the process that started them', async () => {
    const { kit, state } = await setUp()
    await state('ready')
    kit.kill('control')
    await kit.advance(10)
    expect(kit.processes.running).toEqual([])
  })

  test('a module that nobody installed cannot start', async () => {
    const kit = await createTestKit()
    const pool = createPool({ system: kit.control, module: 'nothing' })
    const events: PoolEvent[] = []
    pool.start({ name: 'w', actors: () => [], onEvent: (event) => void events.push(event) })
    await kit.until(() => events.some(({ type }) => type === 'gave-up'))
  })
})

describe('simulate', () => {
  test('runs as many seeds as told, and a failure names the command that replays it', async () => {
    const seeds: number[] = []
    const failing = simulate(
      { name: 'a "name"', seeds: 5, steps: 7 },
      async (kit, { seed, steps }) => {
        seeds.push(seed)
        expect(steps).toBe(7)
        expect(kit.replay).toContain(`${seed}`)
        if (seed === 3) throw new RangeError('as told')
      },
    )
    const error = await failing.catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(SimulationError)
    expect((error as Error).message).toBe(
      'as told\nreplay: TROUPE_SEED=3 bun test -t "a \\"name\\""',
    )
    expect(seeds).toEqual([1, 2, 3])
  })
})
