import { describe, expect, test } from 'bun:test'
import { randomFor } from '../../../protocol/random.ts'
import { type Ask, type AskError, type Ref, StartError } from '../../../runtime/actor.ts'
import { type Mesh, MeshError, mesh } from '../../../runtime/groups/mesh.ts'
import { spawnMesh } from '../../../runtime/groups/spawn-mesh.ts'
import {
  countTo,
  type EchoMessage,
  echo,
  failureOf,
  type Members,
  startMembers,
} from './members.ts'

const deadlineMs = 50_000

async function startMesh(members: Members): Promise<Mesh<EchoMessage, 'host' | 'gpu'>> {
  const spawned = spawnMesh(members.system('control'), echo, {
    name: 'trainer',
    members: ['a', 'b'],
    shape: { host: 2, gpu: 4 },
    config: ({ host, gpu }) => `${host}/${gpu}`,
  })
  return members.settle(spawned)
}

const paths = (refs: Iterable<Ref<never>>): string[] =>
  [...refs].map(({ address }) => `${address.member}${address.path}`)

const of = (count: number): Ref<EchoMessage>[] =>
  countTo(count).map((n) => ({
    address: { member: 'a', path: `/echo-${n}` },
    tell: () => (['accepted', 'full', 'stopped', 'unreachable'] as const)[n % 4]!,
  }))

describe('the shape of a mesh', () => {
  const cube = mesh(of(12), { shape: { rack: 2, host: 3, gpu: 2 } })

  test('the last dimension runs fastest', () => {
    expect(paths([cube.at({ rack: 0, host: 0, gpu: 1 })])).toEqual(['a/echo-1'])
    expect(paths([cube.at({ rack: 1, host: 2, gpu: 0 })])).toEqual(['a/echo-10'])
    expect(cube.entries()[7]?.at).toEqual({ rack: 1, host: 0, gpu: 1 })
    expect(paths(cube)).toEqual(paths(cube.refs))
    expect(cube.size).toBe(12)
  })

  test('a number takes its dimension away, a range shortens it', () => {
    const host = cube.slice({ rack: 1, host: 0 })
    expect(host.shape).toEqual({ gpu: 2 })
    expect(paths(host)).toEqual(['a/echo-6', 'a/echo-7'])
    const part = cube.slice({ host: { from: 1 }, gpu: 0 })
    expect(part.shape).toEqual({ rack: 2, host: 2 })
    expect(paths(part)).toEqual(['a/echo-2', 'a/echo-4', 'a/echo-8', 'a/echo-10'])
    expect(paths([part.at({ rack: 1, host: 1 })])).toEqual(['a/echo-10'])
    expect(paths(cube.slice({}))).toEqual(paths(cube))
    expect(cube.slice({ rack: 0, host: 0, gpu: 0 }).shape).toEqual({})
    expect(cube.slice({ rack: { from: 1, to: 1 } }).size).toBe(0)
  })

  test('every slice holds what at finds there', () => {
    for (const rack of countTo(2)) {
      for (const host of countTo(3)) {
        for (const gpu of countTo(2)) {
          const direct = cube.at({ rack, host, gpu })
          expect(cube.slice({ host }).slice({ gpu }).at({ rack })).toBe(direct)
          expect(cube.slice({ rack, host, gpu }).refs).toEqual([direct])
        }
      }
    }
  })

  const refused: [string, () => unknown, string][] = [
    ['beyond the end', () => cube.at({ rack: 0, host: 3, gpu: 0 }), 'host: 3, legal is 0 to 2'],
    ['negative', () => cube.at({ rack: -1, host: 0, gpu: 0 }), 'rack: -1, legal is 0 to 1'],
    ['a fraction', () => cube.at({ rack: 0, host: 0, gpu: 0.5 }), 'gpu: 0.5, legal is 0 to 1'],
    ['missing', () => cube.at({ rack: 0, host: 0 } as never), 'gpu: missing, legal is 0 to 1'],
    [
      'an unknown dimension',
      () => cube.at({ rack: 0, host: 0, gpus: 0 } as never),
      'no dimension gpus, only rack, host, gpu',
    ],
    ['a slice beyond', () => cube.slice({ host: 7 }), 'host: 7, legal is 0 to 2'],
    [
      'a range beyond',
      () => cube.slice({ host: { to: 4 } }),
      'host: 0 up to 4, legal is 0 up to 3',
    ],
    [
      'a range turned round',
      () => cube.slice({ host: { from: 2, to: 1 } }),
      'host: 2 up to 1, legal is 0 up to 3',
    ],
    [
      'a shape of another size',
      () => mesh(of(7), { shape: { host: 2, gpu: 4 } }),
      'the shape { host: 2, gpu: 4 } has 8 places, not 7',
    ],
    [
      'a shape of fractions',
      () => mesh(of(3), { shape: { host: 1.5, gpu: 2 } }),
      'host: an extent is a whole number from 0, not 1.5',
    ],
    ['a choice of none', () => mesh([]).choose('key'), 'an empty mesh has none to choose'],
  ]
  for (const [name, run, message] of refused) {
    test(`${name}: refused with what is legal`, () => {
      expect(run).toThrow(new RangeError(message))
    })
  }
})

describe('choose', () => {
  const line = mesh(of(8))

  test('a key always leads to the same one, keys to all of them', () => {
    const chosen = countTo(500).map((n) => line.choose(`key-${n}`).address.path)
    expect(countTo(500).map((n) => line.choose(`key-${n}`).address.path)).toEqual(chosen)
    expect(new Set(chosen).size).toBe(8)
  })

  test('chance comes from the argument', () => {
    const seed = 'choose'
    const draw = (): string[] => {
      const random = randomFor(seed)
      return countTo(200).map(() => line.choose(random).address.path)
    }
    expect(draw()).toEqual(draw())
    expect(new Set(draw()).size).toBe(8)
  })
})

test('tell counts the answers', () => {
  expect(mesh(of(10)).tell({ type: 'crash' })).toEqual({
    accepted: 3,
    full: 3,
    stopped: 2,
    unreachable: 2,
  })
})

describe('ask', () => {
  test('all: every reply in the order of the mesh', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const trainers = await startMesh(members)
    const asked = trainers.ask(
      members.system('control'),
      { type: 'who', key: '' },
      { timeoutMs: deadlineMs, settle: 'all' },
    )
    expect(await members.settle(asked)).toEqual(paths(trainers))
    expect(
      await mesh<EchoMessage>([]).ask(
        members.system('a'),
        { type: 'who', key: '' },
        {
          timeoutMs: 1,
          settle: 'all',
        },
      ),
    ).toEqual([])
  })

  test('all: a member that dies fails it at once and by name, whatever the others do', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const trainers = await startMesh(members)
    const { clock } = members.world
    const asked = trainers.ask(
      members.system('control'),
      { type: 'hold' },
      { timeoutMs: deadlineMs, settle: 'all' },
    )
    const failed = asked.catch((error: unknown) => error)
    await clock.advance(100)
    trainers.at({ host: 1, gpu: 2 }).tell({ type: 'crash' })
    await clock.advance(10)
    const error = (await failed) as MeshError
    expect(error).toBeInstanceOf(MeshError)
    expect(error.ref).toBe(trainers.at({ host: 1, gpu: 2 }))
    expect(error.at).toEqual({ host: 1, gpu: 2 })
    expect([error.failure, error.retryable]).toEqual(['died', true])
    expect(error.message).toMatch(
      /^b\/trainer-1-2 at { host: 1, gpu: 2 }: .*as told.* \(0 of 8 replies needed, 7 still awaited\)$/,
    )
    // The others are asked still: nothing is withdrawn in silence.
    let isOver = false
    void error.outcomes.then(() => {
      isOver = true
    })
    await clock.advance(deadlineMs - 200)
    expect(isOver).toBe(false)
    const outcomes = await members.settle(error.outcomes)
    const failures = outcomes.map((outcome) =>
      outcome.ok ? 'replied' : (outcome.error as AskError).failure,
    )
    expect(failures.filter((failure) => failure === 'timeout')).toHaveLength(7)
    expect(failures[6]).toBe('died')
  })

  test('all: the loss of a member process fails it at once', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const trainers = await startMesh(members)
    const asked = failureOf(
      trainers.ask(
        members.system('control'),
        { type: 'hold' },
        { timeoutMs: deadlineMs, settle: 'all' },
      ),
    )
    await members.world.clock.advance(100)
    members.system('control').markLost('a', 1, 'killed by SIGKILL')
    await members.world.clock.advance(5)
    expect(await asked).toMatch(/^MeshError: a\/trainer-0-0 .*unreachable.*SIGKILL/)
  })

  test('each: every outcome with its ref, in the order of the mesh', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const trainers = await startMesh(members)
    members.system('a').stopActor(trainers.at({ host: 0, gpu: 1 }))
    const asked = trainers.ask(
      members.system('control'),
      { type: 'who', key: '' },
      { timeoutMs: deadlineMs, settle: 'each' },
    )
    const outcomes = await members.settle(asked)
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, ...countTo(6).map(() => true)])
    expect(outcomes.map(({ ref }) => ref)).toEqual([...trainers.refs])
    expect(outcomes.map((outcome) => outcome.ok && outcome.value).filter(Boolean)).toEqual(
      paths(trainers).filter((path) => path !== 'a/trainer-0-1'),
    )
    expect(outcomes[1]?.at).toEqual({ host: 0, gpu: 1 })
  })

  test('atLeast: resolves with the first n, in the order they came', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const near = members.system('control').spawn(echo, '', { name: 'near' })
    const far = members.system('a').spawn(echo, '', { name: 'far' })
    const silent = mesh([
      members.system('control').ref<EchoMessage>(far.address),
      members.system('control').spawn(echo, '', { name: 'slow' }),
      near,
    ])
    const asked = silent.ask(
      members.system('control'),
      { type: 'who', key: '' },
      { timeoutMs: deadlineMs, settle: { atLeast: 2 } },
    )
    const replies = await members.settle(asked)
    expect(replies.map(({ value }) => value)).toEqual(['control/slow', 'control/near'])
  })

  test('atLeast: fails at once when n have become impossible, and not before', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const trainers = await startMesh(members)
    const asked = failureOf(
      trainers
        .slice({ host: 0 })
        .ask(
          members.system('control'),
          { type: 'hold' },
          { timeoutMs: deadlineMs, settle: { atLeast: 3 } },
        ),
    )
    let isOver = false
    void asked.then(() => {
      isOver = true
    })
    await members.world.clock.advance(50)
    trainers.at({ host: 0, gpu: 3 }).tell({ type: 'crash' })
    await members.world.clock.advance(50)
    expect(isOver).toBe(false)
    trainers.at({ host: 0, gpu: 0 }).tell({ type: 'crash' })
    await members.world.clock.advance(5)
    expect(await asked).toMatch(
      /^MeshError: a\/trainer-0-0 at { gpu: 0 }: .*0 of 3 replies needed, 2 still awaited/,
    )
  })

  test('atLeast: a number that is not legal is refused before anyone is asked', async () => {
    const members = await startMembers(['control'])
    const ref = members.system('control').spawn(echo, '', { name: 'one' })
    for (const atLeast of [0, 2, -1, 0.5, Number.NaN]) {
      const asked = mesh([ref]).ask(
        members.system('control'),
        { type: 'who', key: '' },
        { timeoutMs: 1_000, settle: { atLeast } },
      )
      expect(await failureOf(asked)).toBe(`RangeError: atLeast: ${atLeast}, legal is 1 to 1`)
    }
  })
})

describe('spawnMesh', () => {
  test('one start that fails stops those that started, and names itself', async () => {
    const members = await startMembers(['control', 'a', 'b'])
    const spawned = spawnMesh(members.system('control'), echo, {
      name: 'trainer',
      members: ['a', 'b'],
      shape: { host: 2, gpu: 2 },
      config: ({ host, gpu }) => (host === 1 && gpu === 0 ? 'bad' : 'good'),
    })
    const error = await members.settle(spawned.catch((error: unknown) => error as Error))
    expect(error).toBeInstanceOf(StartError)
    expect((error as Error).message).toMatch(
      /the mesh trainer did not start: .*b\/trainer-1-0 did not start: .*bad config; 3 that had started are stopped$/,
    )
    for (const name of ['a', 'b']) {
      const left = members
        .system(name)
        .actors()
        .map(({ path }) => path)
      expect(left).toEqual(['/spawner'])
    }
  })

  test('a member that is not there is named, and the others are stopped', async () => {
    const members = await startMembers(['control', 'a'])
    const spawned = spawnMesh(members.system('control'), echo, {
      name: 'trainer',
      members: ['a', 'nobody'],
      config: () => 'good',
    })
    const failure = await members.settle(failureOf(spawned))
    expect(failure).toMatch(/StartError: .*unreachable: nobody.*1 that had started are stopped/)
    expect(members.system('a').actors()).toHaveLength(1)
  })

  test('what was not started from afar is not stopped from afar', async () => {
    const members = await startMembers(['control', 'a'])
    const { address } = members.system('a').spawn({ ...echo }, '', { name: 'own' })
    const spawner = members.system('control').ref<{
      type: 'stop'
      path: string
      replyTo: Ref<'stopped'>
    }>({ member: 'a', path: '/spawner' })
    const message = { type: 'stop', path: address.path } as const
    await members.settle(members.system('control').ask(spawner, message, { timeoutMs: 100 }))
    await members.world.clock.advance(50)
    expect(
      members
        .system('a')
        .actors()
        .map(({ path }) => path),
    ).toContain('/own')
  })

  test('as many members as the first dimension is long', async () => {
    const members = await startMembers(['control', 'a'])
    const spawned = spawnMesh(members.system('control'), echo, {
      name: 'trainer',
      members: ['a'],
      shape: { host: 2, gpu: 2 },
      config: () => '',
    })
    expect(await failureOf(spawned)).toMatch(
      /^RangeError: the shape { host: 2 } has 2 places, not 1/,
    )
  })
})

// Compiled, never run: what must not compile.
export async function types(asker: { ask: Ask }) {
  const square = mesh(of(4), { shape: { host: 2, gpu: 2 } })
  const options = { timeoutMs: 1, settle: 'all' } as const
  const texts: readonly string[] = await square.ask(asker, { type: 'who', key: '' }, options)
  const outcomes = await square.ask(asker, { type: 'read' }, { timeoutMs: 1, settle: 'each' })
  const [first] = outcomes
  const words: readonly string[] = first?.ok ? first.value : []
  const replies = await square.ask(
    asker,
    { type: 'who', key: '' },
    { timeoutMs: 1, settle: { atLeast: 1 } },
  )
  const value: string = replies[0]!.value
  square.slice({ host: 0 }).at({ gpu: 1 })
  square.slice({ host: { from: 1 } }).at({ host: 0, gpu: 1 })
  // @ts-expect-error crash carries no reply address
  square.ask(asker, { type: 'crash' }, options)
  // @ts-expect-error who has a key
  square.ask(asker, { type: 'who' }, options)
  // @ts-expect-error nobody replies with numbers
  const numbers: readonly number[] = await square.ask(asker, { type: 'who', key: '' }, options)
  // @ts-expect-error what to do about failures is always said
  square.ask(asker, { type: 'who', key: '' }, { timeoutMs: 1 })
  // @ts-expect-error a message of another protocol
  square.tell({ type: 'unknown' })
  // @ts-expect-error no such dimension
  square.at({ host: 0, disk: 0 })
  // @ts-expect-error every dimension has a coordinate
  square.at({ host: 0 })
  // @ts-expect-error no such dimension
  square.slice({ disk: 0 })
  // @ts-expect-error that dimension has been taken away
  square.slice({ host: 0 }).at({ host: 0, gpu: 0 })
  return { texts, words, value, numbers }
}
