// What an author may use in a turn: timers, stash, become, time-outs, forwarding, watches, topics, traces.
import { describe, expect, test } from 'bun:test'
import { type Infer, list, ref, replyTo, text, u32, union } from '../../protocol/schema.ts'
import {
  type AskError,
  type Behavior,
  become,
  type Context,
  defineActor,
  next,
  type Ref,
  stop,
} from '../../runtime/actor.ts'
import type { InspectionEvent } from '../../runtime/inspect.ts'
import { logLines } from '../../runtime/log-lines.ts'
import { createSystem } from '../../runtime/system.ts'
import { topic } from '../../runtime/topics.ts'
import { isTraceparent } from '../../runtime/trace.ts'
import { createWorld } from '../../runtime/simulation/world.ts'

function setUp(limits: { stashMessagesMax?: number } = {}) {
  const world = createWorld()
  const system = createSystem({ environment: world.environment('a'), member: 'a', limits })
  const events: InspectionEvent[] = []
  system.inspect((event) => events.push(event))
  return { world, system, events, settle: () => world.clock.advance(0) }
}

const Word = union({ say: { word: text }, open: {}, shut: {}, crash: {} })
type Word = Infer<typeof Word>

/** Notes what it is told; `receive` may be exchanged per test. */
function noter(
  heard: string[],
  receive: (message: Word, context: Context<Word>) => void = () => {},
  start: (context: Context<Word>) => void = () => {},
) {
  return defineActor({
    kind: 'noter',
    protocol: Word,
    start: (_: undefined, context) => start(context),
    receive(state, message, context) {
      if (message.type === 'crash') throw new RangeError('as told')
      if (message.type === 'say') heard.push(message.word)
      receive(message, context)
      return next(state)
    },
  })
}

const say = (word: string): Word => ({ type: 'say', word })

describe('stash', () => {
  const gate = (heard: string[]) => {
    const open: Behavior<null, Word> = {
      receive(_, message) {
        if (message.type === 'say') heard.push(message.word)
        return message.type === 'shut' ? become(shut, null) : next(null)
      },
    }
    const shut: Behavior<null, Word> = {
      receive(_, message, context) {
        if (message.type === 'crash') throw new RangeError('as told')
        if (message.type === 'open') {
          context.unstash()
          return become(open, null)
        }
        if (context.stash() === 'full') heard.push('full')
        return next(null)
      },
    }
    return defineActor({ kind: 'gate', protocol: Word, start: () => null, ...shut })
  }

  test('keeps messages in their order, before all that waits', async () => {
    const { system, settle } = setUp()
    const heard: string[] = []
    const ref = system.spawn(gate(heard), undefined, { name: 'gate' })
    ref.tell(say('1'))
    ref.tell(say('2'))
    await settle()
    ref.tell({ type: 'open' })
    ref.tell(say('3'))
    await settle()
    expect(heard).toEqual(['1', '2', '3'])
  })

  test('is bounded, and says so', async () => {
    const { system, settle } = setUp({ stashMessagesMax: 2 })
    const heard: string[] = []
    const ref = system.spawn(gate(heard), undefined, { name: 'gate' })
    for (const word of ['1', '2', '3']) ref.tell(say(word))
    ref.tell({ type: 'open' })
    await settle()
    expect(heard).toEqual(['full', '1', '2'])
  })

  test('of a life that crashes becomes dead letters, and its asks fail', async () => {
    const { system, events, settle } = setUp()
    const Asked = union({ ask: { replyTo: replyTo<string>() }, crash: {} })
    const keeper = defineActor({
      kind: 'keeper',
      protocol: Asked,
      start: () => null,
      receive(state, message, context) {
        if (message.type === 'crash') throw new RangeError('as told')
        context.stash()
        return next(state)
      },
    })
    const ref = system.spawn(keeper, undefined, { name: 'keeper' })
    const asked = system.ask(ref, { type: 'ask' }, { timeoutMs: 60_000 })
    const failure = asked.catch((error: AskError) => error.failure)
    ref.tell({ type: 'crash' })
    expect((await failure) as unknown).toBe('died')

    const heard: string[] = []
    const gated = system.spawn(gate(heard), undefined, { name: 'gate' })
    gated.tell(say('lost'))
    gated.tell({ type: 'crash' })
    await settle()
    expect(events.filter(({ type }) => type === 'dead-letter')).toHaveLength(1)
  })
})

describe('become', () => {
  test('exchanges behavior and state, until a restart', async () => {
    const { system, settle } = setUp()
    const heard: string[] = []
    const counting = {
      receive(count: number, message: Word) {
        if (message.type === 'crash') throw new RangeError('as told')
        heard.push(`counting ${count}`)
        return next(count + 1)
      },
    }
    const plain = defineActor({
      kind: 'plain',
      protocol: Word,
      start: () => 'first',
      receive(state: string, message) {
        heard.push(state)
        return message.type === 'open' ? become(counting, 7) : next(state)
      },
      restarted(state, ended) {
        heard.push(`after ${ended.type}`)
        return `${state} again`
      },
    })
    const ref = system.spawn(plain, undefined, { name: 'plain' })
    ref.tell({ type: 'open' })
    ref.tell(say(''))
    ref.tell(say(''))
    await settle()
    ref.tell({ type: 'crash' })
    await settle()
    ref.tell(say(''))
    await settle()
    expect(heard).toEqual(['first', 'counting 7', 'counting 8', 'after crashed', 'first again'])
  })
})

describe('timers', () => {
  test('every: comes again and again, until it is cancelled or the life ends', async () => {
    const { world, system } = setUp()
    const heard: string[] = []
    const cancels: (() => void)[] = []
    const ref = system.spawn(
      noter(heard, undefined, ({ every }) => {
        cancels.push(every(10, say('beat')))
      }),
      undefined,
      { name: 'x' },
    )
    await world.clock.advance(35)
    expect(heard).toEqual(['beat', 'beat', 'beat'])
    ref.tell({ type: 'crash' })
    await world.clock.advance(10)
    expect(heard).toHaveLength(4)
    // The first life's function has no power over the second.
    cancels[0]?.()
    await world.clock.advance(10)
    expect(heard).toHaveLength(5)
    cancels[1]?.()
    await world.clock.advance(10)
    expect(heard).toHaveLength(5)
    system.stop()
    expect(world.clock.timers).toBe(0)
  })

  test('receiveTimeout: comes when nothing has come for so long, counted from the last message', async () => {
    const { world, system } = setUp()
    const heard: string[] = []
    const ref = system.spawn(
      noter(
        heard,
        (message, { receiveTimeout }) => {
          if (message.type === 'shut') receiveTimeout(undefined)
        },
        ({ receiveTimeout }) => receiveTimeout(100, say('idle')),
      ),
      undefined,
      { name: 'x' },
    )
    await world.clock.advance(60)
    ref.tell(say('a'))
    await world.clock.advance(99)
    expect(heard).toEqual(['a'])
    await world.clock.advance(1)
    expect(heard).toEqual(['a', 'idle'])
    // Its own message is no news: the next one comes after as long again.
    await world.clock.advance(100)
    expect(heard).toEqual(['a', 'idle', 'idle'])
    ref.tell({ type: 'shut' })
    await world.clock.advance(1_000)
    expect(heard).toHaveLength(3)
    system.stop()
    expect(world.clock.timers).toBe(0)
  })
})

describe('drain', () => {
  test('ends an actor when it has handled what waits, and takes nothing more', async () => {
    const { system, events, settle } = setUp()
    const heard: string[] = []
    const ref = system.spawn(noter(heard), undefined, { name: 'x' })
    for (const word of ['1', '2', '3']) ref.tell(say(word))
    expect(system.drainActor(ref)).toBe('accepted')
    expect(ref.tell(say('late'))).toBe('stopped')
    await settle()
    expect(heard).toEqual(['1', '2', '3'])
    expect(events.map(({ type }) => type)).toContain('stopped')
    expect(system.actors().some(({ path }) => path === '/x')).toBe(false)
  })
})

describe('forward', () => {
  const Question = union({
    ask: { replyTo: replyTo<string>() },
    hold: { replyTo: replyTo<string>() },
  })
  type Question = Infer<typeof Question>
  const answerer = defineActor({
    kind: 'answerer',
    protocol: Question,
    start: () => null,
    receive(state, message, { self }) {
      if (message.type === 'ask') message.replyTo.tell(self.address.path)
      return next(state)
    },
  })
  const forwarder = (target: Ref<Question>) =>
    defineActor({
      kind: 'forwarder',
      protocol: Question,
      start: () => null,
      receive(state, message, { forward }) {
        forward(target, message)
        return next(state)
      },
    })

  test('hands an ask on: the reply goes to its asker', async () => {
    const { system } = setUp()
    const target = system.spawn(answerer, undefined, { name: 'target' })
    const between = system.spawn(forwarder(target), undefined, { name: 'between' })
    expect(await system.ask(between, { type: 'ask' }, { timeoutMs: 10 })).toBe('/target')
  })

  test('from then on the death of the target is the answer, not that of the forwarder', async () => {
    const { system, settle } = setUp()
    const target = system.spawn(answerer, undefined, { name: 'target' })
    const between = system.spawn(forwarder(target), undefined, { name: 'between' })
    let failure = ''
    system
      .ask(between, { type: 'hold' }, { timeoutMs: 60_000 })
      .catch((error: AskError) => (failure = error.failure))
    await settle()
    system.stopActor(between)
    await settle()
    expect(failure).toBe('')
    system.stopActor(target)
    await settle()
    expect(failure).toBe('died')
  })
})

describe('unwatch', () => {
  const Watching = union({ watch: { target: ref<never>() }, unwatch: { target: ref<never>() } })
  test('calls off a Down, also one that waits already', async () => {
    const { system, settle } = setUp()
    const downs: string[] = []
    const watcher = system.spawn(
      defineActor({
        kind: 'watcher',
        protocol: Watching,
        start: () => null,
        receive(state, message, { watch, unwatch }) {
          if (message.type === 'watch') watch(message.target)
          else unwatch(message.target)
          return next(state)
        },
        down(state, { ref: { address } }) {
          downs.push(address.path)
          return next(state)
        },
      }),
      undefined,
      { name: 'watcher' },
    )
    const targets = ['kept', 'called-off', 'too-late'].map((name) =>
      system.spawn(noter([]), undefined, { name }),
    )
    for (const target of targets) watcher.tell({ type: 'watch', target })
    await settle()
    watcher.tell({ type: 'unwatch', target: targets[1]! })
    await settle()
    // The message is handled first: the Down of `too-late` waits behind it.
    watcher.tell({ type: 'unwatch', target: targets[2]! })
    for (const target of targets) system.stopActor(target)
    await settle()
    expect(downs).toEqual(['/kept'])
    expect(system.actors().find(({ path }) => path === '/watcher')?.mailboxMessages).toBe(0)
  })
})

describe('topics', () => {
  const spoken = topic<{ readonly word: string }>('spoken')

  test('tell every subscriber of the member, in its own words, until its life ends', async () => {
    const { system, settle } = setUp()
    const heard: string[] = []
    const subscriber = noter(heard, undefined, ({ subscribe }) => {
      subscribe(spoken, ({ word }) => say(`heard ${word}`))
    })
    const one = system.spawn(subscriber, undefined, { name: 'one' })
    system.spawn(subscriber, undefined, { name: 'two' })
    expect(system.publish(spoken, { word: 'a' })).toBe(2)
    await settle()
    expect(heard).toEqual(['heard a', 'heard a'])
    system.stopActor(one)
    await settle()
    expect(system.publish(spoken, { word: 'b' })).toBe(1)
    const seen: string[] = []
    const end = system.subscribe(spoken, ({ word }) => seen.push(word))
    system.publish(spoken, { word: 'c' })
    end()
    system.publish(spoken, { word: 'd' })
    expect(seen).toEqual(['c'])
  })

  test('a subscriber that crashed is subscribed once by its next life', async () => {
    const { system, settle } = setUp()
    const heard: string[] = []
    const subscriber = noter(heard, undefined, ({ subscribe }) => {
      subscribe(spoken, ({ word }) => say(word))
    })
    const ref = system.spawn(subscriber, undefined, { name: 'one' })
    ref.tell({ type: 'crash' })
    await settle()
    expect(system.publish(spoken, { word: 'a' })).toBe(1)
    await settle()
    expect(heard).toEqual(['a'])
  })
})

describe('traces', () => {
  const Hop = union({ hop: { through: list(ref<Hop>()), left: u32 } })
  type Hop = { readonly type: 'hop'; readonly through: readonly Ref<Hop>[]; readonly left: number }
  const hopper = (traces: string[]) =>
    defineActor({
      kind: 'hopper',
      protocol: Hop,
      start: () => null,
      receive(state, { left, through }, context) {
        traces.push(context.trace)
        if (left > 0) through[left % through.length]?.tell({ type: 'hop', through, left: left - 1 })
        return left === 0 ? stop() : next(state)
      },
    })

  test('everything that one cause led to has the same trace id, across actors', async () => {
    const { system, settle } = setUp()
    const traces: string[] = []
    const through = ['a', 'b', 'c'].map((name) => system.spawn(hopper(traces), undefined, { name }))
    through[0]?.tell({ type: 'hop', through, left: 5 })
    await settle()
    expect(traces).toHaveLength(6)
    expect(new Set(traces.map((trace) => trace.slice(3, 35))).size).toBe(1)
    expect(traces.every(isTraceparent)).toBe(true)
    through[0]?.tell({ type: 'hop', through, left: 0 })
    await settle()
    expect(traces.at(-1)?.slice(3, 35)).not.toBe(traces[0]?.slice(3, 35))
  })

  test('a sampled trace makes each turn a span whose parent sent its message', async () => {
    const { system, settle } = setUp()
    const spans: Extract<InspectionEvent, { type: 'span' }>[] = []
    system.inspect((event) => event.type === 'span' && spans.push(event), { routed: true })
    const traces: string[] = []
    const through = ['a', 'b'].map((name) => system.spawn(hopper(traces), undefined, { name }))
    const trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
    const payload = { type: 'hop', through, left: 2 }
    system.route({ target: { member: 'a', path: '/a' }, lane: 'message', trace, payload })
    await settle()
    expect(spans.map(({ message, kind }) => [message, kind])).toEqual(
      Array.from({ length: 3 }, () => ['hop', 'hopper']),
    )
    expect(spans.map(({ parent }) => parent)).toEqual([trace, spans[0]!.trace, spans[1]!.trace])
    expect(new Set(spans.map((span) => span.trace.slice(36, 52))).size).toBe(3)
  })
})

describe('metrics', () => {
  test('count turns, events and what is there now', async () => {
    const { system, settle } = setUp()
    const ref = system.spawn(noter([]), undefined, { name: 'x' })
    const before = system.metrics()
    for (let n = 0; n < 10; n++) ref.tell(say(''))
    ref.tell({ type: 'crash' })
    await settle()
    const { turns, actorsNow, events } = system.metrics()
    expect(turns - before.turns).toBe(11)
    expect(actorsNow).toBe(2)
    expect(events.crashed).toBe(1)
    expect(events.restarted).toBe(1)
  })
})

describe('log lines', () => {
  test('are one JSON object each, and leave out what is less than their level', async () => {
    const { world, system } = setUp()
    const all: string[] = []
    const errors: string[] = []
    const end = logLines(system, (line) => all.push(line))
    logLines(system, (line) => errors.push(line), { level: 'error' })
    await world.clock.advance(1_500)
    const ref = system.spawn(
      noter([], (_, { log }) => log.info('heard', { count: 1n, bytes: new Uint8Array(3) })),
      undefined,
      { name: 'x' },
    )
    ref.tell(say('hello'))
    ref.tell({ type: 'crash' })
    await world.clock.advance(0)
    end()
    ref.tell({ type: 'crash' })
    await world.clock.advance(0)
    const parsed = all.map((line) => JSON.parse(line))
    expect(parsed.map(({ level, message }) => `${level} ${message}`)).toEqual([
      'info spawned',
      'info heard',
      'error crashed',
      'warn restarted',
    ])
    const { trace, ...heard } = parsed[1]
    expect(heard).toEqual({
      time: '1970-01-01T00:00:01.500Z',
      level: 'info',
      member: 'a',
      message: 'heard',
      path: '/x',
      fields: { count: '1', bytes: '3 bytes' },
    })
    expect(isTraceparent(trace)).toBe(true)
    expect(errors.map((line) => JSON.parse(line).cause)).toEqual([
      'RangeError: as told',
      'RangeError: as told',
    ])
  })
})
