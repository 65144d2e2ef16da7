// How an actor looks after its children: strategies, limits, significance. Verdicts are pure; what follows
// from them is seen on real cells under virtual time.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Infer, text, union } from '../../protocol/schema.ts'
import { defineActor, next, StartError, stop } from '../../runtime/actor.ts'
import type { InspectionEvent } from '../../runtime/inspect.ts'
import {
  isShutDown,
  type RestartPolicy,
  restartedWith,
  type Strategy,
  type Supervision,
} from '../../runtime/supervision.ts'
import { createSystem } from '../../runtime/system.ts'
import { createWorld } from '../../runtime/simulation/world.ts'

const ChildMessage = union({ crash: {}, finish: {} })
type ChildMessage = Infer<typeof ChildMessage>
const ParentMessage = union({ stopChild: { name: text } })

interface ChildSpec {
  readonly name: string
  readonly restart?: RestartPolicy
  readonly significant?: boolean
}

function family(supervision: Supervision, specs: readonly ChildSpec[]) {
  const world = createWorld()
  const escalations: string[] = []
  const system = createSystem({
    environment: world.environment('a'),
    member: 'a',
    onEscalated: (cause) => escalations.push(cause),
  })
  const events: InspectionEvent[] = []
  system.inspect((event) => events.push(event))
  const diary: string[] = []
  let failingStarts: readonly string[] = []
  const child = defineActor({
    kind: 'child',
    protocol: ChildMessage,
    start(_: undefined, { self }) {
      const { path } = self.address
      if (failingStarts.includes(path)) throw new RangeError(`${path} cannot start`)
      diary.push(`start ${path}`)
      return path
    },
    receive(path, message) {
      if (message.type === 'crash') throw new RangeError('as told')
      return message.type === 'finish' ? stop() : next(path)
    },
    stopped: (path, { type }) => void diary.push(`end ${path} ${type}`),
  })
  const parent = defineActor({
    kind: 'parent',
    protocol: ParentMessage,
    supervision,
    start(_: undefined, context) {
      for (const spec of specs) context.spawn(child, undefined, { restart: 'permanent', ...spec })
      diary.push('start /p')
      return null
    },
    receive(state, { name }, context) {
      const victim = context.children.find(({ address }) => address.path === `/p/${name}`)
      if (victim) context.stop(victim)
      return next(state)
    },
    stopped: (_, { type }) => void diary.push(`end /p ${type}`),
  })
  const ref = system.spawn(parent, undefined, { name: 'p' })
  const tell = async (name: string, type: ChildMessage['type']): Promise<void> => {
    system.ref<ChildMessage>({ member: 'a', path: `/p/${name}` }).tell({ type })
    await world.clock.advance(0)
  }
  diary.length = 0
  return {
    world,
    system,
    events,
    escalations,
    diary,
    parent: ref,
    tell,
    failStartsOf: (...paths: string[]) => {
      failingStarts = paths
    },
  }
}

const three = [{ name: 'a' }, { name: 'b' }, { name: 'c' }] as const

describe('strategies', () => {
  test('one-for-one restarts only the one that died', async () => {
    const { diary, tell } = family({}, three)
    await tell('b', 'crash')
    expect(diary).toEqual(['end /p/b crashed', 'start /p/b'])
  })

  test('one-for-all stops the others in reverse order and starts all in order', async () => {
    const { diary, tell } = family({ strategy: 'one-for-all' }, three)
    await tell('b', 'crash')
    expect(diary).toEqual([
      'end /p/b crashed',
      'end /p/c stopped',
      'end /p/a stopped',
      'start /p/a',
      'start /p/b',
      'start /p/c',
    ])
  })

  test('rest-for-one takes along those that were started after it', async () => {
    const { diary, tell } = family({ strategy: 'rest-for-one' }, three)
    await tell('b', 'crash')
    expect(diary).toEqual(['end /p/b crashed', 'end /p/c stopped', 'start /p/b', 'start /p/c'])
  })

  test('a temporary sibling stops with the others and does not come back', async () => {
    const specs = [{ name: 'a' }, { name: 'b', restart: 'temporary' as const }, { name: 'c' }]
    const { diary, tell, system } = family({ strategy: 'one-for-all' }, specs)
    await tell('a', 'crash')
    expect(diary.filter((line) => line.startsWith('start'))).toEqual(['start /p/a', 'start /p/c'])
    expect(system.actors().some(({ path }) => path === '/p/b')).toBe(false)
  })

  test('children come back in the order of their start, also after a delay', async () => {
    const { diary, tell, world } = family({ strategy: 'one-for-all' }, three)
    await tell('c', 'crash')
    diary.length = 0
    await tell('c', 'crash')
    expect(diary).toEqual(['end /p/c crashed', 'end /p/b stopped', 'end /p/a stopped'])
    await world.clock.advance(50)
    expect(diary.slice(3)).toEqual(['start /p/a', 'start /p/b', 'start /p/c'])
  })

  test('a sibling that cannot start again is tried again with all, then escalates', async () => {
    const { tell, world, escalations, failStartsOf, events } = family(
      { strategy: 'one-for-all' },
      three,
    )
    failStartsOf('/p/c')
    await tell('a', 'crash')
    await world.clock.advance(60_000)
    expect(escalations[0]).toContain('/p/c cannot start')
    expect(events.some(({ type }) => type === 'escalated')).toBe(true)
  })

  test('one that is stopped by its parent while it waits stays away, its siblings come back', async () => {
    const { diary, tell, world, parent, system } = family({ strategy: 'one-for-all' }, three)
    await tell('b', 'crash')
    await tell('b', 'crash')
    parent.tell({ type: 'stopChild', name: 'b' })
    diary.length = 0
    await world.clock.advance(100)
    expect(diary).toEqual(['start /p/a', 'start /p/c'])
    expect(system.actors().some(({ path }) => path === '/p/b')).toBe(false)
  })
})

describe('limits', () => {
  test('that the children share count the restarts of all of them', async () => {
    const restartLimit = { restartsMax: 2, windowMs: 1_000 }
    const { tell, diary, escalations, world } = family({ restartLimit }, three)
    await tell('a', 'crash')
    await tell('b', 'crash')
    expect(diary).not.toContain('end /p crashed')
    await tell('c', 'crash')
    expect(diary).toContain('end /p crashed')
    await world.clock.advance(0)
    // The parent itself is restarted: a root within its own limit.
    expect(escalations).toEqual([])
    expect(diary.filter((line) => line === 'start /p')).toHaveLength(1)
  })

  test('forget what lies outside of their window', async () => {
    const restartLimit = { restartsMax: 1, windowMs: 1_000 }
    const { tell, diary, world } = family({ restartLimit }, three)
    for (const name of ['a', 'b', 'c', 'a']) {
      await tell(name, 'crash')
      await world.clock.advance(1_000)
    }
    expect(diary).not.toContain('end /p crashed')
  })

  test('an escalation carries the true cause', async () => {
    const restartLimit = { restartsMax: 0, windowMs: 1_000 }
    const { tell, system } = family({ restartLimit }, three)
    await tell('b', 'crash')
    const [status] = system.actors().filter(({ path }) => path === '/p')
    expect(status?.lastCrash).toBe('/p/b: RangeError: as told')
  })
})

describe('significant children', () => {
  const pair = [
    { name: 'a', restart: 'transient' as const, significant: true },
    { name: 'b', restart: 'transient' as const, significant: true },
    { name: 'c' },
  ]

  test('any-significant: the first that ends by itself ends the parent', async () => {
    const { tell, diary, system } = family({ shutDownWith: 'any-significant' }, pair)
    await tell('a', 'finish')
    expect(diary).toContain('end /p stopped')
    expect(system.actors().some(({ path }) => path.startsWith('/p'))).toBe(false)
  })

  test('all-significant: only the last one does', async () => {
    const { tell, diary } = family({ shutDownWith: 'all-significant' }, pair)
    await tell('a', 'finish')
    expect(diary).not.toContain('end /p stopped')
    await tell('b', 'finish')
    expect(diary).toContain('end /p stopped')
  })

  test('a crash that is followed by a restart is no end, and a stop by the parent neither', async () => {
    const { tell, diary, parent, world } = family({ shutDownWith: 'any-significant' }, pair)
    await tell('a', 'crash')
    parent.tell({ type: 'stopChild', name: 'b' })
    await world.clock.advance(0)
    expect(diary).not.toContain('end /p stopped')
  })

  test('a permanent child cannot be significant: it never ends by itself', () => {
    expect(() => family({}, [{ name: 'a', restart: 'permanent', significant: true }])).toThrow(
      StartError,
    )
  })
})

describe('the pure part', () => {
  const names = fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 8 })

  test('restartedWith keeps the order, and holds the dead one', () => {
    fc.assert(
      fc.property(names, fc.nat(7), (children, index) => {
        const dead = children[index % children.length]!
        for (const strategy of ['one-for-one', 'one-for-all', 'rest-for-one'] as const) {
          const group = restartedWith(strategy, children, dead)
          expect(group).toContain(dead)
          // The slow twin: filter by definition.
          const twin: Record<Strategy, (child: number) => boolean> = {
            'one-for-one': (child) => child === dead,
            'one-for-all': () => true,
            'rest-for-one': (child) => children.indexOf(child) >= children.indexOf(dead),
          }
          expect([...group]).toEqual(children.filter(twin[strategy]))
        }
      }),
    )
  })

  test('isShutDown looks only at significant children', () => {
    const yes = { significant: true }
    const no = { significant: false }
    const cases: [Supervision['shutDownWith'], typeof yes, (typeof yes)[], boolean][] = [
      ['none', yes, [], false],
      ['any-significant', no, [], false],
      ['any-significant', yes, [yes, no], true],
      ['all-significant', yes, [yes, no], false],
      ['all-significant', yes, [no], true],
      ['all-significant', yes, [], true],
      ['all-significant', no, [], false],
    ]
    for (const [shutDownWith, ended, left, expected] of cases) {
      expect(isShutDown(shutDownWith ? { shutDownWith } : {}, ended, left)).toBe(expected)
    }
  })

  test('supervision is data: it prints and compares', () => {
    const { system } = family({ strategy: 'rest-for-one' }, three)
    const [status] = system.actors().filter(({ path }) => path === '/p')
    expect(JSON.parse(JSON.stringify(status)).supervision).toEqual({ strategy: 'rest-for-one' })
    expect(status?.restart).toBe('transient')
  })
})
