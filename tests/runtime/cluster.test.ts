import { describe, expect, test } from 'bun:test'
import { encodePacket, START } from '../../protocol/codec.ts'
import { randomFor } from '../../protocol/random.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import { AskError, type Ref, StartError } from '../../runtime/actor.ts'
import { createDirectory } from '../../runtime/cluster/directory.ts'
import { encodeGreeting, isSameToken } from '../../runtime/transport/hello.ts'
import {
  countTo,
  type Member,
  type Notes,
  type PeerMessage,
  peer,
  startCluster,
  startMember,
} from './members.ts'

const failureOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    (value) => `answered ${value}`,
    (error: unknown) => (error instanceof AskError ? error.failure : String(error)),
  )

describe('members', () => {
  test('whoever joins knows the others, and they dial each other directly', async () => {
    const { world, control, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    const names = (member: Member): string[] =>
      member.system
        .members()
        .map((entry) => entry.member)
        .sort()
    for (const member of [control, a, b]) expect(names(member)).toEqual(['a', 'b', 'control'])
    expect(world.network.connections).toBe(2)
    const asked = a.system.ask(a.to('b'), { type: 'ask', value: 1 }, { timeoutMs: 1_000 })
    await world.clock.advance(20)
    expect(await asked).toBe(2)
    expect(world.network.connections).toBe(3)
  })

  test('two that dial each other at once end with one connection and lose nothing', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    for (const value of countTo(10)) {
      a.to('b').tell({ type: 'note', value })
      b.to('a').tell({ type: 'note', value })
    }
    await world.clock.advance(200)
    expect(a.notes.values).toEqual(countTo(10))
    expect(b.notes.values).toEqual(countTo(10))
    expect(world.network.connections).toBe(3)
  })

  test('another token, an old life, a doubled name and another version are refused', async () => {
    const { world, control } = await startCluster([])
    const url = control.system.url ?? ''
    const refusal = async (member: Promise<Member>): Promise<string> => {
      const failed = member.then(
        () => 'joined',
        (error: Error) => error.message,
      )
      await world.clock.advance(100)
      return failed
    }
    expect(await refusal(startMember(world, 'x', { control: url, token: 'guess' }))).toMatch(
      /wrong token/,
    )
    expect(await refusal(startMember(world, 'control', { control: url }))).toMatch(/another member/)
    await startMember(world, 'x', { control: url, incarnation: 3 })
    expect(await refusal(startMember(world, 'x', { control: url, incarnation: 2 }))).toMatch(
      /incarnation 2 of x is over/,
    )
    const answers: Uint8Array[] = []
    const connection = world.environment('raw').transport.connect(url, {
      opened() {
        const packet = encodePacket([])
        packet[0] = 2
        connection.send(packet)
      },
      received: (packet) => void answers.push(packet),
      drained() {},
      closed() {},
    })
    await world.clock.advance(100)
    expect(Buffer.from(answers[0] ?? []).toString()).toContain('version 2')
    expect(control.events.filter(({ type }) => type === 'peer-refused')).toHaveLength(4)
  })

  test('a stranger who never says hello is closed after the deadline', async () => {
    const { world, control } = await startCluster([])
    let closed = ''
    world.environment('raw').transport.connect(control.system.url ?? '', {
      opened() {},
      received() {},
      drained() {},
      closed: (reason) => {
        closed = reason
      },
    })
    await world.clock.advance(4_990)
    expect(closed).toBe('')
    await world.clock.advance(50)
    expect(closed).toMatch(/no greeting/)
  })

  test('nobody can speak before the hello', async () => {
    const { world, control } = await startCluster([])
    const connection = world.environment('raw').transport.connect(control.system.url ?? '', {
      opened() {
        const payload = { type: 'note', value: 6 }
        const target = { member: 'control', path: '/peer' }
        connection.send(
          encodePacket([{ target, lane: 'message', payload }], {
            stream: 'messages',
            sequence: 1,
          }),
        )
        connection.send(encodeGreeting({ type: 'refused', cause: 'x' }))
      },
      received() {},
      drained() {},
      closed() {},
    })
    await world.clock.advance(100)
    expect(control.notes.values).toEqual([])
  })
})

describe('a restarted member', () => {
  test('replaces its old life, which is lost first; refs by path go on', async () => {
    const { world, control, members } = await startCluster(['a', 'b'])
    const [a] = members
    a.to('b').tell({ type: 'note', value: 1 })
    await world.clock.advance(50)
    const control_ = control.system.url ?? ''
    const successor = await startMember(world, 'b', { control: control_, incarnation: 2 })
    await world.clock.advance(10)
    const news = a.events.flatMap((event) =>
      event.type === 'member-lost' || event.type === 'member-joined'
        ? [`${event.type} ${event.member} ${event.incarnation}`]
        : [],
    )
    expect(news.slice(-2)).toEqual(['member-lost b 1', 'member-joined b 2'])
    a.to('b').tell({ type: 'note', value: 2 })
    await world.clock.advance(50)
    expect(successor.notes.values).toEqual([2])
  })

  test('a late reply to its former life does not reach the new one', async () => {
    const { world, control, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    const failure = failureOf(
      a.system.ask(a.to('b'), { type: 'ask', value: 1 }, { timeoutMs: 1_000 }),
    )
    await world.clock.advance(50)
    expect(await failure).toBe('answered 2')
    const late = b.system.ref<number>({ member: 'a', path: '/~1', incarnation: 1 })
    const url = control.system.url ?? ''
    const successor = await startMember(world, 'a', { control: url, incarnation: 2 })
    const held = failureOf(
      successor.system.ask(successor.to('b'), { type: 'hold' }, { timeoutMs: 1_000 }),
    )
    await world.clock.advance(50)
    late.tell(99)
    await world.clock.advance(1_000)
    expect(await held).toBe('timeout')
    expect(successor.events.some(({ type }) => type === 'dead-letter')).toBe(true)
  })
})

describe('a lost member', () => {
  test('known at control: everyone is told, asks fail and watches end at once', async () => {
    const { world, control, members } = await startCluster(['a', 'b'])
    const [a] = members
    a.ref.tell({ type: 'watch', target: a.to('b') as Ref<never> })
    const failure = failureOf(a.system.ask(a.to('b'), { type: 'hold' }, { timeoutMs: 60_000 }))
    await world.clock.advance(50)
    control.system.markLost('b', 1, 'killed by SIGKILL')
    await world.clock.advance(2)
    expect(await failure).toBe('unreachable')
    expect(a.notes.downs).toHaveLength(1)
    expect(a.notes.downs[0]?.reason).toEqual({ type: 'unreachable', cause: 'killed by SIGKILL' })
    expect(a.to('b').tell({ type: 'crash' })).toBe('unreachable')
    await world.clock.advance(60_000)
    expect(a.notes.downs).toHaveLength(1)
  })

  test('that says nothing any more is lost after the limit, and not before', async () => {
    const { world, control } = await startCluster(['a'])
    world.network.clog()
    const lost = (): boolean => control.events.some(({ type }) => type === 'member-lost')
    await world.clock.advance(4_000)
    expect(lost()).toBe(false)
    await world.clock.advance(2_500)
    expect(lost()).toBe(true)
  })

  test('the Down follows every message that was received', async () => {
    const { world, control, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    a.ref.tell({ type: 'watch', target: a.to('b') as Ref<never> })
    await world.clock.advance(50)
    for (const value of countTo(5)) b.to('a').tell({ type: 'note', value })
    await world.clock.advance(50)
    control.system.markLost('b', 1, 'gone')
    await world.clock.advance(50)
    expect(a.notes.values).toEqual([0, 1, 2, 3, 4, -1])
  })
})

describe('a remote actor', () => {
  test('its crash fails the asks it holds and ends the watches on it, at once', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    a.ref.tell({ type: 'watch', target: a.to('b') as Ref<never> })
    const asked = a.system.ask(a.to('b'), { type: 'hold' }, { timeoutMs: 60_000 })
    const error = asked.catch((reason: unknown) => reason)
    await world.clock.advance(50)
    const life = b.system.actors().find(({ path }) => path === b.ref.address.path)
    b.ref.tell({ type: 'crash' })
    await world.clock.advance(5)
    const incarnation = life?.incarnation ?? 0
    const expected = {
      failure: 'died',
      retryable: true,
      overloaded: false,
      remote: true,
      incarnation,
    }
    expect(await error).toMatchObject(expected)
    expect(a.notes.downs.map(({ reason }) => reason)).toEqual([
      { type: 'crashed', cause: 'RangeError: as told' },
    ])
    expect(a.notes.downs[0]?.incarnation).toBeGreaterThan(0)
  })

  test('that does not exist, or does not know the message, says so to the asker', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a] = members
    const nobody = a.system.ref<PeerMessage>({ member: 'b', path: '/nobody' })
    const missing = failureOf(a.system.ask(nobody, { type: 'hold' }, { timeoutMs: 60_000 }))
    const wrong = a.system.ask(a.to('b'), { type: 'ask', value: -4 }, { timeoutMs: 60_000 })
    const refused = wrong.then(
      () => '',
      (error: Error) => error.message,
    )
    await world.clock.advance(50)
    expect(await missing).toBe('died')
    expect(await refused).toContain('ask.value: expected an unsigned 32-bit integer')
  })

  test('is spawned by kind; a start that fails is reported', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a] = members
    const config: Notes = { values: [], downs: [] }
    const spawned = a.system.spawnOn('b', peer, config, { name: 'far' })
    await world.clock.advance(50)
    const asked = a.system.ask(await spawned, { type: 'ask', value: 4 }, { timeoutMs: 100 })
    await world.clock.advance(50)
    expect(await asked).toBe(5)
    for (const attempt of [
      a.system.spawnOn('b', peer, config, { name: 'far' }),
      a.system.spawnOn('b', { ...peer, kind: 'unknown' }, config, { name: 'near' }),
    ]) {
      const failed = attempt.then(
        () => undefined,
        (error: unknown) => error,
      )
      await world.clock.advance(50)
      expect(await failed).toBeInstanceOf(StartError)
    }
  })

  test('what cannot travel is an error where it is sent', async () => {
    const { members } = await startCluster(['a', 'b'])
    const [a] = members
    const anything = a.system.ref<unknown>({ member: 'b', path: '/peer' })
    expect(() => anything.tell({ run: () => 1 })).toThrow(/function cannot be sent/)
  })
})

describe('links', () => {
  test('a cut connection loses nothing, repeats nothing and reorders nothing', async () => {
    const random = randomFor('cuts')
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    let sent = 0
    for (let round = 0; round < 200; round++) {
      for (let n = random.below(20); n > 0; n--) {
        expect(a.to('b').tell({ type: 'note', value: sent++ })).toBe('accepted')
      }
      if (random.below(4) === 0) world.network.cut()
      await world.clock.advance(random.below(15))
    }
    await world.clock.advance(2_000)
    expect(b.notes.values).toEqual(countTo(sent))
    expect(sent).toBeGreaterThan(1_000)
    expect(a.events.filter(({ type }) => type === 'member-lost')).toEqual([])
  })

  test('a peer that cannot be reached again is lost after the limit; its queue is not sent later', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    a.to('b').tell({ type: 'note', value: 0 })
    await world.clock.advance(50)
    world.network.refuse()
    world.network.cut()
    const failure = failureOf(
      a.system.ask(a.to('b'), { type: 'ask', value: 1 }, { timeoutMs: 60_000 }),
    )
    await world.clock.advance(8_000)
    expect(await failure).toBe('unreachable')
    world.network.heal()
    await world.clock.advance(2_000)
    expect(b.notes.values).toEqual([0])
  })

  test('a tell to a known member that is not connected yet waits for the link', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    world.network.refuse()
    expect(a.to('b').tell({ type: 'note', value: 7 })).toBe('accepted')
    await world.clock.advance(300)
    world.network.heal()
    await world.clock.advance(1_500)
    expect(b.notes.values).toEqual([7])
  })

  test('small messages of one tick share a packet', async () => {
    const { world, members } = await startCluster(['a', 'b'])
    const [a, b] = members
    a.to('b').tell({ type: 'note', value: 0 })
    await world.clock.advance(100)
    const before = world.network.packets
    for (const value of countTo(100)) a.to('b').tell({ type: 'note', value })
    await world.clock.advance(5)
    expect(world.network.packets - before).toBe(1)
    expect(b.notes.values).toHaveLength(101)
  })

  test('a link above its byte limit says full, and says accepted again when it has drained', async () => {
    const { world, members } = await startCluster(['a', 'b'], {
      linkQueueBytesMax: 10_000,
      windowBytesMax: 5_000,
    })
    const [a, b] = members
    const message = { type: 'big', tensor: tensorOf(new Float32Array(1_000)) } as const
    const results = countTo(5).map(() => a.to('b').tell(message))
    expect(results).toEqual(['accepted', 'accepted', 'full', 'full', 'full'])
    expect(a.events.some(({ type }) => type === 'full')).toBe(true)
    await world.clock.advance(100)
    expect(a.to('b').tell(message)).toBe('accepted')
    await world.clock.advance(100)
    expect(b.notes.values).toEqual([4_000, 4_000, 4_000])
  })

  test('signals overtake the messages that wait for the link', async () => {
    const { world, members } = await startCluster(['a', 'b'], {
      windowBytesMax: 5_000,
      batchBytesMax: 4_000,
    })
    const [a, b] = members
    const big = { type: 'big', tensor: tensorOf(new Float32Array(1_000)) } as const
    for (let n = 0; n < 6; n++) a.to('b').tell(big)
    // A watch is a signal: it is answered before the last of the messages has arrived.
    a.ref.tell({ type: 'watch', target: a.system.ref({ member: 'b', path: '/nobody' }) })
    let waiting = 0
    for (let ms = 0; ms < 200 && a.notes.downs.length === 0; ms++) {
      await world.clock.advance(1)
      waiting = 6 - b.notes.values.length
    }
    expect(a.notes.downs).toHaveLength(1)
    expect(waiting).toBeGreaterThan(0)
  })

  test('a system that slept does not take its own sleep for the silence of its peers', async () => {
    const { world, control } = await startCluster(['a'])
    // Time passes for the clocks, but no timer runs in between: as after SIGSTOP and SIGCONT.
    world.network.clog()
    await world.clock.advance(900)
    world.network.heal()
    await world.clock.advance(3_000)
    expect(control.events.some(({ type }) => type === 'member-lost')).toBe(false)
  })

  test('bytes that are no packet end the session by name', async () => {
    const { world, control } = await startCluster([])
    const connection = world.environment('raw').transport.connect(control.system.url ?? '', {
      opened() {
        connection.send(
          encodeGreeting({
            type: 'hello',
            member: 'x',
            incarnation: 1,
            session: 5,
            received: START,
            token: '',
            isResuming: false,
            isJoining: true,
          }),
        )
      },
      received: () => void connection.send(Uint8Array.from([1, 2, 3])),
      drained() {},
      closed() {},
    })
    await world.clock.advance(50)
    const lost = control.events.find((event) => event.type === 'member-lost')
    expect(lost?.type === 'member-lost' && lost.cause).toMatch(/protocol error/)
  })
})

describe('the directory', () => {
  const entry = (incarnation: number) => ({ member: 'a', incarnation, url: `u${incarnation}` })

  test('a life that is over does not come back; a later one does', () => {
    const directory = createDirectory()
    expect(directory.join(entry(1))).toEqual({ joined: entry(1) })
    expect(directory.join(entry(1))).toEqual({})
    directory.lose({ member: 'a', incarnation: 1, cause: 'x' }, true)
    expect(directory.join(entry(1))).toEqual({})
    expect(directory.entries).toEqual([])
    expect(directory.join(entry(2))).toEqual({ joined: entry(2) })
  })

  test('a life that was only not heard of comes back', () => {
    const directory = createDirectory()
    directory.join(entry(1))
    const loss = { member: 'a', incarnation: 1, cause: 'silent' }
    expect(directory.lose(loss, false)).toEqual({ lost: loss })
    expect(directory.entries).toEqual([])
    expect(directory.get('a')).toEqual(entry(1))
    expect(directory.join(entry(1))).toEqual({ joined: entry(1) })
  })

  test('the loss of a former life does not touch its successor', () => {
    const directory = createDirectory()
    directory.join(entry(1))
    expect(directory.join(entry(2)).lost?.incarnation).toBe(1)
    expect(directory.lose({ member: 'a', incarnation: 1, cause: 'late' }, true)).toEqual({})
    expect(directory.entries).toEqual([entry(2)])
  })
})

test('tokens are the same or not', () => {
  expect(isSameToken('secret', 'secret')).toBe(true)
  expect(isSameToken('', '')).toBe(true)
  for (const guess of ['', 'secre', 'secrets', 'Secret', 'secretsecret', 'ſecret']) {
    expect(isSameToken('secret', guess)).toBe(false)
  }
  expect(isSameToken('', 'x')).toBe(false)
  expect(isSameToken('', '\0')).toBe(false)
})
