// Worker processes of a pool, on either engine, and what their actors say to each other. The control
// member is this process: on Bun when `bun test` runs it, on Deno when Deno does.
import { deepEqual, equal, match } from 'node:assert/strict'
import type { Ref } from '../../runtime/actor.ts'
import { type Engine, EngineError, findEngine, ownEngine } from '../../runtime/engine.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { createSystem, type System } from '../../runtime/system.ts'
import { createPool, type PoolEvent, type PoolWorker } from '../../runtime/worker/pool.ts'
import type { calculator, EchoMessage } from '../chaos/fixtures/actors.ts'
import { type Case, type Group, group, type Queue, queue } from './cases.ts'
import type { MessengerMessage } from './fixtures/messenger.ts'

interface Member {
  readonly worker: PoolWorker
  readonly events: Queue<PoolEvent>
  readonly echo: Ref<EchoMessage>
  readonly messenger: Ref<MessengerMessage>
  readonly calculator: Ref<CallMessage>
  /** The next event of that type. */
  next<T extends PoolEvent['type']>(type: T): Promise<Extract<PoolEvent, { type: T }>>
}

type CallMessage = Parameters<(typeof calculator)['receive']>[1]

interface Fixture extends AsyncDisposable {
  readonly system: System
  /** Resolves when it is ready. */
  start(engine: Engine): Promise<Member>
}

function open(): Fixture {
  const environment = realEnvironment({ seed: 'workers' })
  const limits = { heartbeatMs: 50, silenceMsMax: 1_000 }
  const system = createSystem({ environment, member: 'control', token: 'secret', limits })
  const module = new URL('./fixtures/worker.ts', import.meta.url).href
  const pool = createPool({ system, module })
  return {
    system,
    async start(engine) {
      const events = queue<PoolEvent>()
      const name = `on-${engine}`
      const thread = new URL('./fixtures/faulty-thread.ts', import.meta.url).href
      const actors = [
        { kind: 'echo', name: 'echo', config: { greeting: '' } },
        { kind: 'messenger', name: 'messenger', config: {} },
        { kind: 'calculator', name: 'calculator', config: { module: thread } },
      ]
      const worker = pool.start({ name, engine, actors: () => actors, onEvent: events.put })
      const member: Member = {
        worker,
        events,
        echo: system.ref({ member: name, path: '/echo' }),
        messenger: system.ref({ member: name, path: '/messenger' }),
        calculator: system.ref({ member: name, path: '/calculator' }),
        async next(type) {
          for (;;) {
            const event = await events.take()
            if (event.type === type) return event as never
          }
        },
      }
      await member.next('ready')
      return member
    },
    async [Symbol.asyncDispose]() {
      await pool.stop()
      system.stop()
    },
  }
}

const soon = { timeoutMs: 5_000 }

const onOne = (engine: Engine): readonly Case<Fixture>[] => [
  [
    'is killed by SIGKILL: an ask fails at once, and the successor answers to the same ref',
    async ({ system, start }) => {
      const { worker, echo, next } = await start(engine)
      const held = system.ask(echo, { type: 'hold' }, { timeoutMs: 60_000 })
      worker.kill('SIGKILL')
      match(await held.catch((error: Error) => error.message), /unreachable: .*killed by SIGKILL/)
      const { incarnation } = await next('ready')
      equal(incarnation, 2)
      equal(await system.ask(echo, { type: 'echo', text: 'again' }, soon), 'again')
    },
  ],
  [
    'is stopped by SIGSTOP: its heartbeats are missed, it is killed and replaced',
    async ({ start }) => {
      const { worker, next } = await start(engine)
      worker.kill('SIGSTOP')
      const { cause, exit } = await next('exited')
      match(cause, /no heartbeat for 1000 ms/)
      equal(exit.processSignal, 'SIGKILL')
      await next('ready')
    },
  ],
  [
    'has an actor that crashes: it ends with the cause',
    async ({ start }) => {
      const { echo, next } = await start(engine)
      echo.tell({ type: 'crash', cause: 'as told' })
      const { cause, exit } = await next('exited')
      deepEqual([cause, exit.code], ['/echo: TypeError: as told', 1])
    },
  ],
  [
    'has an uncaught error: it ends with the cause',
    async ({ start }) => {
      const { echo, next } = await start(engine)
      echo.tell({ type: 'fault', cause: 'from a timer' })
      const { cause, exit } = await next('exited')
      deepEqual([cause, exit.code], ['TypeError: from a timer', 1])
    },
  ],
  [
    'has a compute thread that fails outside of any call: it ends with the cause',
    async ({ system, start }) => {
      const { calculator, next } = await start(engine)
      const call = { type: 'call', method: 'failLater', argument: null } as const
      equal(await system.ask(calculator, call, soon), 'soon')
      const { cause, exit } = await next('exited')
      const told = 'ComputeError: the compute thread failed: RangeError: nobody waits for this'
      deepEqual([cause, exit.code], [told, 1])
    },
  ],
  [
    'is stopped: what it was sent is handled first, and it exits with 0',
    async ({ system, start }) => {
      const { worker, echo, events } = await start(engine)
      const last = system.ask(echo, { type: 'echo', text: 'last' }, soon)
      await worker.stop()
      equal(await last, 'last')
      const [event] = events.all.slice(-1)
      deepEqual(event?.type === 'exited' && event.exit, { code: 0, processSignal: null })
    },
  ],
]

const betweenBoth: readonly Case<Fixture>[] = [
  [
    'ask, tell and watch each other, all ways; each sees the other die and come back',
    async ({ system, start }) => {
      const engines = ['bun', 'deno'] as const
      const members = await Promise.all(engines.map(start))
      const count = Array.from({ length: 1_000 }, (_, value) => value)
      for (const from of members) {
        for (const { echo } of members) {
          const relayed = { type: 'relay', to: echo, text: 'hello' } as const
          equal(await system.ask(from.messenger, relayed, soon), 'hello')
        }
      }
      for (const [from, to] of waysOf(members)) {
        equal(await system.ask(from.messenger, { type: 'count', to: to.echo }, soon), 'told')
        // The last of them: it comes after all that were told.
        const last = { type: 'relay', to: to.echo, text: '' } as const
        await system.ask(from.messenger, last, soon)
        deepEqual(await system.ask(to.echo, { type: 'counted' }, soon), count)
      }
      for (const [from, to] of waysOf(members)) {
        from.messenger.tell({ type: 'watch', target: to.echo })
        const relayed = { type: 'relay', to: to.echo, text: 'hello' } as const
        equal(await system.ask(from.messenger, relayed, soon), 'hello')
        to.worker.kill('SIGKILL')
        const downs = await system.ask(from.messenger, { type: 'downs' }, soon)
        equal(downs.length, 1)
        match(downs[0] ?? '', new RegExp(`^${to.worker.name} unreachable: `))
        await to.next('ready')
        equal(await system.ask(from.messenger, relayed, soon), 'hello')
      }
    },
  ],
]

function waysOf(members: readonly Member[]): readonly (readonly [Member, Member])[] {
  return members.flatMap((from) =>
    members.filter((to) => to !== from).map((to) => [from, to] as const),
  )
}

function isHere(engine: Engine): boolean {
  try {
    findEngine(engine)
    return true
  } catch (error) {
    if (error instanceof EngineError) return false
    throw error
  }
}

const engines = (['bun', 'deno'] as const).filter(isHere)

/** With an engine that is not here, its part is left out. */
export const workers: readonly Group[] = [
  ...engines.map((engine) => group(`a worker on ${engine}`, open, onOne(engine))),
  ...(engines.length < 2
    ? []
    : [group(`workers on bun and deno with control on ${ownEngine()}`, open, betweenBoth)]),
]
