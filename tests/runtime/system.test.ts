import { describe, expect, test } from 'bun:test'
import { flag, type Infer, plain, replyTo, text, u32, union } from '../../protocol/schema.ts'
import {
  type ActorDefinition,
  AskError,
  type Context,
  type Down,
  defineActor,
  next,
  type Ref,
  StartError,
  stop,
} from '../../runtime/actor.ts'
import type { InspectionEvent } from '../../runtime/inspect.ts'
import { createWorld } from '../../runtime/simulation/world.ts'
import { createSystem, type System } from '../../runtime/system.ts'

const ProbeMessage = union({
  note: { text },
  crash: {},
  finish: {},
  promise: {},
  ask: { text, replyTo: replyTo<string>() },
  hold: { replyTo: replyTo<string>() },
  watch: { target: replyTo<never>() },
  spawn: { name: text, crashing: flag },
  stopChild: { name: text },
  after: { ms: u32, text },
  pipe: { replyTo: replyTo<string>() },
  piped: { text },
})
type ProbeMessage = Infer<typeof ProbeMessage>

/** Writes down all that happens to it. */
interface Diary {
  readonly lines: string[]
  readonly downs: Down[]
  failStarts: number
}

const probe: ActorDefinition<Diary, Diary, ProbeMessage> = {
  kind: 'probe',
  protocol: ProbeMessage,
  config: plain as never,
  start(diary, { self }) {
    if (diary.failStarts > 0) {
      diary.failStarts -= 1
      throw new RangeError('cannot start')
    }
    diary.lines.push(`start ${self.address.path}`)
    return diary
  },
  receive(diary, message, context) {
    const { path } = context.self.address
    switch (message.type) {
      case 'note':
      case 'piped':
        diary.lines.push(message.text)
        return next(diary)
      case 'crash':
        throw new RangeError('as told')
      case 'finish':
        return stop()
      case 'promise':
        return Promise.resolve(next(diary)) as never
      case 'ask':
        message.replyTo.tell(`${path} says ${message.text}`)
        return next(diary)
      case 'hold':
        return next(diary)
      case 'watch':
        context.watch(message.target)
        return next(diary)
      case 'spawn':
        context.spawn(
          probe,
          { ...diary, failStarts: message.crashing ? 1 : 0 },
          { name: message.name },
        )
        return next(diary)
      case 'stopChild':
        context.stop(childOf(context, message.name))
        return next(diary)
      case 'after':
        context.after(message.ms, { type: 'note', text: message.text })
        return next(diary)
      case 'pipe':
        context.pipe(Promise.reject(new Error('piped failure')), (outcome) => ({
          type: 'piped',
          text: outcome.ok ? 'ok' : outcome.error.message,
        }))
        return next(diary)
    }
  },
  down(diary, down) {
    diary.downs.push(down)
    diary.lines.push(`down ${down.ref.address.path} ${down.reason.type}`)
    return next(diary)
  },
  stopped: (diary, reason, { self }) => {
    diary.lines.push(`end ${self.address.path} ${reason.type}`)
  },
}

const children = new Map<string, Ref<never>>()
function childOf({ self }: Context<ProbeMessage>, name: string): Ref<never> {
  const ref = children.get(`${self.address.path}/${name}`)
  if (!ref) throw new Error('the test forgot to register the child')
  return ref
}

function setUp(options: { onEscalated?: (cause: string) => void } = {}) {
  const world = createWorld()
  const events: InspectionEvent[] = []
  const system = createSystem({ environment: world.environment('a'), member: 'a', ...options })
  system.inspect((event) => events.push(event))
  const diary: Diary = { lines: [], downs: [], failStarts: 0 }
  return { world, system, events, diary, settle: () => world.clock.advance(0) }
}

function spawnProbe(system: System, diary: Diary, name = 'x'): Ref<ProbeMessage> {
  return system.spawn(probe, diary, { name })
}

const failureOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    () => 'answered',
    (error: unknown) => (error instanceof AskError ? error.failure : String(error)),
  )

describe('delivery', () => {
  test('messages arrive in the order in which they were sent', async () => {
    const { system, diary, settle } = setUp()
    const ref = spawnProbe(system, diary)
    const notes = Array.from({ length: 500 }, (_, i) => `${i}`)
    for (const note of notes) expect(ref.tell({ type: 'note', text: note })).toBe('accepted')
    await settle()
    expect(diary.lines.slice(1)).toEqual(notes)
  })

  test('a local tell copies nothing', async () => {
    const { system, settle } = setUp()
    const received: unknown[] = []
    const keeper: ActorDefinition<null, null, { bytes: Uint8Array }> = {
      kind: 'keeper',
      protocol: plain as never,
      config: plain as never,
      start: () => null,
      receive: (state, { bytes }) => {
        received.push(bytes)
        return next(state)
      },
    }
    const bytes = new Uint8Array(10)
    system.spawn(keeper, null, { name: 'keeper' }).tell({ bytes })
    await settle()
    expect(received[0]).toBe(bytes)
  })

  test('the functions of refs and contexts may be handed on by themselves', async () => {
    const { system, diary, settle } = setUp()
    const { tell } = spawnProbe(system, diary)
    expect(tell({ type: 'note', text: 'by itself' })).toBe('accepted')
    await settle()
    expect(diary.lines).toContain('by itself')
    const echo = defineActor({
      kind: 'echo',
      protocol: union({ ask: { text, replyTo: replyTo<string>() } }),
      start: () => null,
      receive(state, { text: question, replyTo: { tell: reply } }) {
        void Promise.resolve(question).then(reply)
        return next(state)
      },
    })
    const ref = system.spawn(echo, undefined, { name: 'echo' })
    expect(await system.ask(ref, { type: 'ask', text: 'hi' }, { timeoutMs: 10 })).toBe('hi')
  })

  test('a full mailbox says full, and what it accepted arrives', async () => {
    const { system, diary, events, settle } = setUp()
    const ref = system.spawn(probe, diary, { name: 'x', mailboxMessagesMax: 3 })
    const results = [1, 2, 3, 4, 5].map((n) => ref.tell({ type: 'note', text: `${n}` }))
    expect(results).toEqual(['accepted', 'accepted', 'accepted', 'full', 'full'])
    expect(events.filter(({ type }) => type === 'full')).toHaveLength(2)
    await settle()
    expect(diary.lines.slice(1)).toEqual(['1', '2', '3'])
    expect(ref.tell({ type: 'note', text: '6' })).toBe('accepted')
  })

  test('a message to nobody is a dead letter, and its sender is told', () => {
    const { system, events } = setUp()
    expect(system.ref<ProbeMessage>({ member: 'a', path: '/none' }).tell({ type: 'crash' })).toBe(
      'stopped',
    )
    expect(system.ref<ProbeMessage>({ member: 'z', path: '/x' }).tell({ type: 'crash' })).toBe(
      'unreachable',
    )
    expect(events.map(({ type }) => type)).toContain('dead-letter')
  })

  test('a ref that names a former life is refused', async () => {
    const { system, diary, settle } = setUp()
    const ref = spawnProbe(system, diary)
    const [status] = system.actors().filter(({ path }) => path === '/x')
    const former = system.ref<ProbeMessage>({
      ...ref.address,
      incarnation: status?.incarnation ?? 0,
    })
    expect(former.tell({ type: 'note', text: 'first life' })).toBe('accepted')
    ref.tell({ type: 'crash' })
    await settle()
    expect(former.tell({ type: 'note', text: 'second life' })).toBe('stopped')
    expect(ref.tell({ type: 'note', text: 'by path' })).toBe('accepted')
  })

  test('stop overtakes the messages that wait', async () => {
    const { system, diary, events, settle } = setUp()
    const ref = spawnProbe(system, diary)
    for (let n = 0; n < 5; n++) ref.tell({ type: 'note', text: `${n}` })
    expect(system.stopActor(ref)).toBe('accepted')
    await settle()
    expect(diary.lines).toEqual(['start /x', 'end /x stopped'])
    expect(events.filter(({ type }) => type === 'dead-letter')).toHaveLength(5)
  })

  test('input and output are not starved by actors that never rest', async () => {
    const { world, system } = setUp()
    const spinner: ActorDefinition<null, number, number> = {
      kind: 'spinner',
      protocol: plain as never,
      config: plain as never,
      start(_, { self }) {
        self.tell(0)
        return 0
      },
      receive(count, n, { self }) {
        if (n < 1_000_000) self.tell(n + 1)
        return next(count + 1)
      },
    }
    system.spawn(spinner, null, { name: 'spinner' })
    let isServed = false
    world.clock.after(1, () => {
      isServed = true
    })
    await world.clock.advance(1)
    expect(isServed).toBe(true)
    system.stop()
  })
})

describe('asks', () => {
  test('settle with the reply', async () => {
    const { system, diary } = setUp()
    const ref = spawnProbe(system, diary)
    expect(await system.ask(ref, { type: 'ask', text: 'hello' }, { timeoutMs: 10 })).toBe(
      '/x says hello',
    )
  })

  test('fail at their deadline, and not before', async () => {
    const { world, system, diary } = setUp()
    const ref = spawnProbe(system, diary)
    const failure = failureOf(system.ask(ref, { type: 'hold' }, { timeoutMs: 100 }))
    let settled = ''
    void failure.then((value) => {
      settled = value
    })
    await world.clock.advance(99)
    expect(settled).toBe('')
    await world.clock.advance(1)
    expect(await failure).toBe('timeout')
  })

  test('fail at once when the target crashes, stops, or was never there', async () => {
    const { system, diary } = setUp()
    for (const last of [{ type: 'crash' }, { type: 'finish' }] as const) {
      const ref = spawnProbe(system, diary, `x-${last.type}`)
      const held = failureOf(system.ask(ref, { type: 'hold' }, { timeoutMs: 60_000 }))
      ref.tell(last)
      // Still in the mailbox when the actor dies.
      const waiting = failureOf(system.ask(ref, { type: 'ask', text: '' }, { timeoutMs: 60_000 }))
      expect(await held).toBe('died')
      expect(await waiting).toBe('died')
    }
    const nobody = system.ref<ProbeMessage>({ member: 'a', path: '/none' })
    expect(await failureOf(system.ask(nobody, { type: 'hold' }, { timeoutMs: 60_000 }))).toBe(
      'died',
    )
  })

  test('say overloaded when the mailbox is full', async () => {
    const { system, diary } = setUp()
    const ref = system.spawn(probe, diary, { name: 'x', mailboxMessagesMax: 1 })
    ref.tell({ type: 'note', text: '' })
    expect(await failureOf(system.ask(ref, { type: 'hold' }, { timeoutMs: 60_000 }))).toBe(
      'overloaded',
    )
  })

  test('are cancelled with the actor that asked', async () => {
    const { system, diary, settle } = setUp()
    const target = spawnProbe(system, diary)
    let failure = ''
    const asker: ActorDefinition<null, null, string> = {
      kind: 'asker',
      protocol: plain as never,
      config: plain as never,
      start(_, { ask }) {
        void failureOf(ask(target, { type: 'hold' }, { timeoutMs: 60_000 })).then((value) => {
          failure = value
        })
        return null
      },
      receive: (state) => next(state),
    }
    const ref = system.spawn(asker, null, { name: 'asker' })
    await settle()
    expect(failure).toBe('')
    system.stopActor(ref)
    await settle()
    expect(failure).toBe('cancelled')
  })

  test('a second reply is a dead letter, not a second answer', async () => {
    const { system, settle } = setUp()
    const results: string[] = []
    const twice: ActorDefinition<null, null, { type: 'ask'; replyTo: Ref<number> }> = {
      kind: 'twice',
      protocol: plain as never,
      config: plain as never,
      start: () => null,
      receive(state, { replyTo: asker }) {
        results.push(asker.tell(1), asker.tell(2))
        return next(state)
      },
    }
    const ref = system.spawn(twice, null, { name: 'twice' })
    expect(await system.ask(ref, { type: 'ask' }, { timeoutMs: 10 })).toBe(1)
    await settle()
    expect(results).toEqual(['accepted', 'stopped'])
  })
})

describe('death watch', () => {
  test('tells of a crash once, with its cause, and of the next life only who watches it', async () => {
    const { system, diary, settle } = setUp()
    const target = spawnProbe(system, { ...diary, lines: [] }, 'target')
    spawnProbe(system, diary, 'watcher').tell({ type: 'watch', target: target as Ref<never> })
    await settle()
    target.tell({ type: 'crash' })
    await settle()
    target.tell({ type: 'crash' })
    await settle()
    expect(diary.downs.map(({ reason }) => reason)).toEqual([
      { type: 'crashed', cause: 'RangeError: as told' },
    ])
  })

  test('tells at once when there is nobody to watch', async () => {
    const { system, diary, settle } = setUp()
    const watcher = spawnProbe(system, diary)
    watcher.tell({ type: 'watch', target: system.ref({ member: 'a', path: '/none' }) })
    watcher.tell({ type: 'watch', target: system.ref({ member: 'z', path: '/far' }) })
    await settle()
    expect(diary.downs.map(({ reason }) => reason.type)).toEqual(['never-existed', 'unreachable'])
  })

  test('two watches are two Downs', async () => {
    const { system, diary, settle } = setUp()
    const target = spawnProbe(system, { ...diary, lines: [] }, 'target')
    const watcher = spawnProbe(system, diary, 'watcher')
    watcher.tell({ type: 'watch', target: target as Ref<never> })
    watcher.tell({ type: 'watch', target: target as Ref<never> })
    await settle()
    system.stopActor(target)
    await settle()
    expect(diary.downs.map(({ reason }) => reason.type)).toEqual(['stopped', 'stopped'])
  })
})

describe('supervision', () => {
  test('a crashed actor starts anew, its children stopped first, newest first', async () => {
    const { system, diary, events, settle } = setUp()
    const ref = spawnProbe(system, diary)
    ref.tell({ type: 'spawn', name: 'one', crashing: false })
    ref.tell({ type: 'spawn', name: 'two', crashing: false })
    ref.tell({ type: 'crash' })
    await settle()
    expect(diary.lines).toEqual([
      'start /x',
      'start /x/one',
      'start /x/two',
      'end /x/two stopped',
      'end /x/one stopped',
      'end /x crashed',
      'start /x',
    ])
    expect(system.actors().map(({ path }) => path)).toEqual(['/spawner', '/x'])
    const lives = events.flatMap((event) => (event.type === 'restarted' ? [event.incarnation] : []))
    expect(lives).toHaveLength(1)
  })

  test('the second restart in a window waits, more than its limit escalates', async () => {
    const escalations: string[] = []
    const { world, system, diary, settle } = setUp({
      onEscalated: (cause) => escalations.push(cause),
    })
    const ref = system.spawn(probe, diary, {
      name: 'x',
      restartLimit: { restartsMax: 2, windowMs: 1_000 },
    })
    ref.tell({ type: 'crash' })
    await settle()
    expect(ref.tell({ type: 'crash' })).toBe('accepted')
    await settle()
    expect(ref.tell({ type: 'note', text: '' })).toBe('stopped')
    await world.clock.advance(50)
    expect(ref.tell({ type: 'crash' })).toBe('accepted')
    await settle()
    expect(escalations).toEqual(['/x: RangeError: as told'])
    expect(ref.tell({ type: 'note', text: '' })).toBe('stopped')
  })

  test('a start that fails after a crash counts as a crash', async () => {
    const { world, system, diary } = setUp()
    const ref = spawnProbe(system, diary)
    diary.failStarts = 2
    ref.tell({ type: 'crash' })
    await world.clock.advance(1_000)
    expect(ref.tell({ type: 'note', text: 'alive' })).toBe('accepted')
    expect(system.actors().find(({ path }) => path === '/x')?.restarts).toBe(3)
  })

  test('a failing first start reaches whoever asked for it and leaves nothing behind', async () => {
    const { system, diary, settle } = setUp()
    expect(() => spawnProbe(system, { ...diary, failStarts: 1 })).toThrow(StartError)
    expect(() => spawnProbe(system, { ...diary, failStarts: 1 })).toThrow(
      /\/x did not start: RangeError/,
    )
    const parent = spawnProbe(system, diary, 'parent')
    parent.tell({ type: 'spawn', name: 'child', crashing: true })
    await settle()
    expect(diary.lines).toContain('end /parent crashed')
    expect(system.actors().map(({ path }) => path)).toEqual(['/spawner', '/parent'])
  })

  test('a name is used by one actor at a time', async () => {
    const { system, diary, settle } = setUp()
    const ref = spawnProbe(system, diary)
    expect(() => spawnProbe(system, diary)).toThrow(/this name is taken/)
    ref.tell({ type: 'finish' })
    await settle()
    spawnProbe(system, diary)
    for (const name of ['', 'a/b', '~1', 'a b', 'a#1']) {
      expect(() => spawnProbe(system, diary, name)).toThrow(StartError)
    }
  })

  test('receive may only be synchronous', async () => {
    const { system, diary, events, settle } = setUp()
    spawnProbe(system, diary).tell({ type: 'promise' })
    await settle()
    const crash = events.find((event) => event.type === 'crashed')
    expect(crash?.type === 'crashed' && crash.cause).toMatch(/not a promise: use context.pipe/)
  })

  test('stopped is not restarted, by whatever policy', async () => {
    const { system, diary, settle } = setUp()
    const ref = system.spawn(probe, diary, { name: 'x', restart: 'permanent' })
    ref.tell({ type: 'spawn', name: 'child', crashing: false })
    await settle()
    children.set('/x/child', system.ref({ member: 'a', path: '/x/child' }))
    ref.tell({ type: 'stopChild', name: 'child' })
    await settle()
    expect(system.actors().map(({ path }) => path)).toEqual(['/spawner', '/x'])
    system.stopActor(ref)
    await settle()
    expect(system.actors().map(({ path }) => path)).toEqual(['/spawner'])
  })
})

describe('timers and promises', () => {
  test('tell self after so many milliseconds, and are gone with the life that set them', async () => {
    const { world, system, diary, settle } = setUp()
    const ref = spawnProbe(system, diary)
    ref.tell({ type: 'after', ms: 20, text: 'first' })
    await world.clock.advance(20)
    ref.tell({ type: 'after', ms: 20, text: 'second' })
    await settle()
    ref.tell({ type: 'crash' })
    await world.clock.advance(100)
    expect(diary.lines).toEqual(['start /x', 'first', 'end /x crashed', 'start /x'])
    system.stop()
    expect(world.clock.timers).toBe(0)
  })

  test('a promise comes back as a message, also when it fails', async () => {
    const { system, diary, settle } = setUp()
    spawnProbe(system, diary).tell({
      type: 'pipe',
      replyTo: system.ref({ member: 'a', path: '/x' }),
    })
    await settle()
    expect(diary.lines).toEqual(['start /x', 'piped failure'])
  })
})
