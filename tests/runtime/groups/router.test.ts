import { describe, expect, test } from 'bun:test'
import { type ActorDefinition, next, type Ref, StartError } from '../../../runtime/actor.ts'
import {
  byChance,
  consistentHash,
  leastLoaded,
  roundRobin,
} from '../../../runtime/groups/picker.ts'
import { type PoolControl, poolOf } from '../../../runtime/groups/pool-of.ts'
import type { RouterMessage } from '../../../runtime/groups/routees.ts'
import { routerOf } from '../../../runtime/groups/router.ts'
import type { System } from '../../../runtime/system.ts'
import {
  countTo,
  type EchoMessage,
  echo,
  failureOf,
  type Members,
  startMembers,
} from './members.ts'

const timeoutMs = 50_000

const askWho = (system: System, ref: Ref<EchoMessage>, key = ''): Promise<string> =>
  system.ask(ref, { type: 'who', key }, { timeoutMs })

async function who(members: Members, ref: Ref<EchoMessage>, count: number): Promise<string[]> {
  const asked = countTo(count).map((n) => askWho(members.system('control'), ref, `key-${n}`))
  return members.settle(Promise.all(asked))
}

const tally = (names: readonly string[]): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

const deadLetters = ({ events }: Members): string[] =>
  events.flatMap((event) => (event.type === 'dead-letter' ? [event.cause] : []))

const roundRobinRouter = routerOf(echo, { picker: roundRobin() })

async function startRouter(picker = roundRobin()) {
  const members = await startMembers(['control', 'a', 'b'], {
    definitions: [echo, roundRobinRouter],
  })
  const control = members.system('control')
  const routees = ['a', 'b', 'control'].map((name) => {
    const { address } = members.system(name).spawn(echo, '', { name: 'routee' })
    return control.ref<EchoMessage>(address)
  })
  const router = control.spawn(routerOf(echo, { picker }), { routees }, { name: 'router' })
  await members.world.clock.advance(10)
  return { members, control, routees, router }
}

describe('a router', () => {
  test('speaks the protocol of its routees, on whatever members they are', async () => {
    const { members, router } = await startRouter()
    const answers = await who(members, router, 9)
    expect(tally(answers)).toEqual({ 'a/routee': 3, 'b/routee': 3, 'control/routee': 3 })
    expect(deadLetters(members)).toEqual([])
  })

  test('can be spawned on another member', async () => {
    const { members, control, routees } = await startRouter()
    const config = { routees }
    const spawned = control.spawnOn('b', roundRobinRouter, config, { name: 'router' })
    const router = await members.settle(spawned)
    const answers = await who(members, router, 6)
    expect(tally(answers)).toEqual({ 'a/routee': 2, 'b/routee': 2, 'control/routee': 2 })
  })

  test('goes on with the others when one goes down, and takes it back when it returns', async () => {
    const { members, control, routees, router } = await startRouter()
    const { clock } = members.world
    routees[0]!.tell({ type: 'crash' })
    routees[2]!.tell({ type: 'crash' })
    await clock.advance(5)
    // Both are restarted by their own supervisors: here that is seen at once, there it is looked for.
    expect(tally(await who(members, router, 6))).toEqual({ 'b/routee': 3, 'control/routee': 3 })
    await clock.advance(500)
    expect(tally(await who(members, router, 6))).toEqual({
      'a/routee': 2,
      'b/routee': 2,
      'control/routee': 2,
    })
    members.system('b').stopActor(members.system('b').ref(routees[1]!.address))
    control.stopActor(routees[2]!)
    await clock.advance(5)
    expect(tally(await who(members, router, 4))).toEqual({ 'a/routee': 4 })
    await clock.advance(60_000)
    const letGo = members.events.flatMap((event) =>
      event.type === 'log' && event.level === 'warn' ? [event.message] : [],
    )
    expect(letGo.sort()).toEqual([
      'routee b/routee is let go: not back after 12 looks',
      'routee control/routee is let go: not back after 12 looks',
    ])
  })

  test('an ask it has passed on fails at once when the member of the routee is lost', async () => {
    const { members, control, router } = await startRouter()
    const held = failureOf(control.ask(router, { type: 'hold' }, { timeoutMs }))
    await members.world.clock.advance(50)
    control.markLost('a', 1, 'killed by SIGKILL')
    await members.world.clock.advance(5)
    expect(await held).toMatch(/^unreachable: .*a\/routee.*SIGKILL/)
    expect(tally(await who(members, router, 4))).toEqual({ 'b/routee': 2, 'control/routee': 2 })
  })

  test('a new life of the member that was lost is used again', async () => {
    const { members, control, router } = await startRouter()
    control.markLost('a', 1, 'killed by SIGKILL')
    await members.world.clock.advance(5)
    const successor = await members.add('a', { incarnation: 2 })
    successor.spawn(echo, '', { name: 'routee' })
    await members.world.clock.advance(2_000)
    expect(tally(await who(members, router, 6))['a/routee']).toBe(2)
  })

  test('with no routee, an ask is refused by name and a tell is a dead letter', async () => {
    const { members, control, routees, router } = await startRouter()
    for (const routee of routees) router.tell({ type: 'router-remove', routee })
    const asked = failureOf(askWho(control, router))
    expect(await members.settle(asked)).toMatch(
      /^unreachable: .*router control\/router has no routee$/,
    )
    router.tell({ type: 'note', value: 'x' })
    await members.world.clock.advance(5)
    expect(deadLetters(members)).toEqual(['router control/router has no routee'])
    router.tell({ type: 'router-add', routee: routees[1]! })
    router.tell({ type: 'router-add', routee: routees[1]! })
    expect(tally(await who(members, router, 2))).toEqual({ 'b/routee': 2 })
  })

  test('a full routee refuses for itself', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const routee = control.spawn(echo, '', { name: 'routee', mailboxMessagesMax: 3 })
    const config = { routees: [routee] }
    const router = control.spawn(roundRobinRouter, config, { name: 'router' })
    const asked = countTo(5).map(() => failureOf(askWho(control, router)))
    const answers = await members.settle(Promise.all(asked))
    expect(answers.filter((answer) => answer === 'answered control/routee')).toHaveLength(3)
    const refusals = answers.filter((answer) => answer.startsWith('overloaded'))
    expect(refusals[0]).toMatch(/control\/routee is full/)
    expect(refusals).toHaveLength(2)
  })

  test('consistent hash: a key stays where it is', async () => {
    const byKey = consistentHash<EchoMessage>((message) =>
      message.type === 'who' ? message.key : '',
    )
    const { members, router } = await startRouter(byKey as ReturnType<typeof roundRobin>)
    const first = await who(members, router, 30)
    expect(await who(members, router, 30)).toEqual(first)
    expect(Object.keys(tally(first))).toHaveLength(3)
  })

  test('least loaded refuses routees of other members, whose load it cannot see', async () => {
    const { control, routees } = await startRouter()
    const balanced = routerOf(echo, { picker: leastLoaded(), kind: 'balanced' })
    const start = () => control.spawn(balanced, { routees }, { name: 'balanced' })
    expect(start).toThrow(StartError)
    expect(start).toThrow(/least loaded knows the load of its own member only, not a\/routee/)
  })

  test('what is neither of the routees nor of the router is refused by its protocol', async () => {
    const { members, router } = await startRouter()
    const remote = members.system('a').ref<never>(router.address)
    const ask = members.system('a').ask as (r: unknown, m: unknown, o: unknown) => Promise<unknown>
    const unknown = failureOf(ask(remote, { type: 'unknown' }, { timeoutMs }))
    expect(await members.settle(unknown)).toMatch(/^refused: .*expected a message of note, who/)
    const broken = failureOf(ask(remote, { type: 'router-look', address: 1 }, { timeoutMs }))
    expect(await members.settle(broken)).toMatch(/^refused: .*router-look.address/)
  })
})

describe('a pool', () => {
  test('passes messages to children of its own, in turn', async () => {
    const members = await startMembers(['control'])
    const pool = poolOf(echo, { size: 3, picker: roundRobin() })
    const ref = members.system('control').spawn(pool, '', { name: 'pool' })
    expect(tally(await who(members, ref, 6))).toEqual({
      'control/pool/routee-0': 2,
      'control/pool/routee-1': 2,
      'control/pool/routee-2': 2,
    })
    expect(pool.kind).toBe('pool of echo')
  })

  test('goes on routing while some restart', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const { clock } = members.world
    const pool = poolOf(echo, {
      size: 3,
      picker: roundRobin(),
      restartLimit: { restartsMax: 9, windowMs: 60_000 },
    })
    const ref = control.spawn(pool, '', { name: 'pool' })
    const child = control.ref<EchoMessage>({ member: 'control', path: '/pool/routee-1' })
    // The second crash waits for its restart.
    for (const _ of countTo(3)) {
      child.tell({ type: 'crash' })
      await clock.advance(1)
    }
    expect(control.actors().find(({ path }) => path === '/pool/routee-1')?.incarnation).toBe(0)
    expect(tally(await who(members, ref, 4))).toEqual({
      'control/pool/routee-0': 2,
      'control/pool/routee-2': 2,
    })
    await clock.advance(1_000)
    expect(tally(await who(members, ref, 6))['control/pool/routee-1']).toBe(2)
  })

  test('with all down, an ask is refused by name', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const pool = poolOf(echo, { size: 1, picker: roundRobin() })
    const ref = control.spawn(pool, '', { name: 'pool' })
    const child = control.ref<EchoMessage>({ member: 'control', path: '/pool/routee-0' })
    for (const _ of countTo(2)) {
      child.tell({ type: 'crash' })
      await members.world.clock.advance(1)
    }
    const asked = failureOf(askWho(control, ref))
    expect(await members.settle(asked)).toMatch(/router control\/pool : its one routee is down$/)
  })

  test('least loaded: whoever has work to do gets no more of it, mailbox or not', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const pool = poolOf(echo, { size: 4, picker: leastLoaded() })
    const ref = control.spawn(pool, '', { name: 'pool' })
    const slow = countTo(8).map(() => control.ask(ref, { type: 'slow' }, { timeoutMs }))
    const answers = await members.settle(Promise.all(slow))
    expect(Object.values(tally(answers))).toEqual([2, 2, 2, 2])
  })

  test('resizes: what a leaving routee has is answered, then it ends', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const { clock } = members.world
    const pool = poolOf(echo, { size: 4, picker: roundRobin() })
    const ref = control.spawn(pool, '', { name: 'pool' })
    const paths = (): string[] => {
      const below = control.actors().filter(({ path }) => path.startsWith('/pool/'))
      return below.map(({ path }) => path)
    }
    const slow = countTo(4).map(() => control.ask(ref, { type: 'slow' }, { timeoutMs }))
    await clock.advance(1)
    ref.tell({ type: 'pool-resize', size: 2 })
    await clock.advance(1)
    expect(paths()).toHaveLength(4)
    expect(tally(await who(members, ref, 4))).toEqual({
      'control/pool/routee-0': 2,
      'control/pool/routee-1': 2,
    })
    expect(Object.values(tally(await members.settle(Promise.all(slow))))).toEqual([1, 1, 1, 1])
    await clock.advance(100)
    expect(paths()).toEqual(['/pool/routee-0', '/pool/routee-1'])
    ref.tell({ type: 'pool-resize', size: 3 })
    await clock.advance(1)
    expect(paths()).toEqual(['/pool/routee-0', '/pool/routee-1', '/pool/routee-4'])
    ref.tell({ type: 'pool-resize', size: 0 })
    await clock.advance(100)
    const asked = failureOf(askWho(control, ref))
    expect(await members.settle(asked)).toMatch(/^unreachable: .*control\/pool has no routee$/)
    expect(deadLetters(members)).toEqual([])
    ref.tell({ type: 'pool-resize', size: 5_000 })
    await clock.advance(1)
    expect(deadLetters(members)).toEqual(['size: 5000, legal is 0 to 4096'])
  })

  test('a leaving routee that never finishes is stopped at the end of its time', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const { clock } = members.world
    const pool = poolOf(echo, { size: 1, picker: roundRobin(), retireMsMax: 400 })
    const ref = control.spawn(pool, '', { name: 'pool' })
    const held = failureOf(control.ask(ref, { type: 'hold' }, { timeoutMs }))
    await clock.advance(1)
    ref.tell({ type: 'pool-resize', size: 0 })
    await clock.advance(300)
    expect(control.actors().map(({ path }) => path)).toContain('/pool/routee-0')
    await clock.advance(200)
    expect(await held).toMatch(/^died: /)
    expect(control.actors().map(({ path }) => path)).not.toContain('/pool/routee-0')
  })

  test('temporary routees that crash leave the pool; a resize fills it up', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const { clock } = members.world
    const pool = poolOf(echo, { size: 2, picker: roundRobin(), restart: 'temporary' })
    const ref = control.spawn(pool, '', { name: 'pool' })
    ref.tell({ type: 'crash' })
    await clock.advance(1_000)
    expect(Object.keys(tally(await who(members, ref, 4)))).toEqual(['control/pool/routee-1'])
    ref.tell({ type: 'pool-resize', size: 2 })
    expect(Object.keys(tally(await who(members, ref, 4))).sort()).toEqual([
      'control/pool/routee-1',
      'control/pool/routee-2',
    ])
  })

  test('more crashes than the limit allows are its own crash, with the cause', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const restartLimit = { restartsMax: 0, windowMs: 1_000 }
    const pool = poolOf(echo, { size: 2, picker: roundRobin(), restartLimit })
    const ref = control.spawn(pool, '', { name: 'pool' })
    ref.tell({ type: 'crash' })
    await members.world.clock.advance(100)
    const crashed = members.events.find(
      (event) => event.type === 'crashed' && event.path === '/pool',
    )
    expect(crashed).toMatchObject({ cause: '/pool/routee-0: RangeError: as told' })
    expect(Object.values(tally(await who(members, ref, 4)))).toEqual([2, 2])
  })

  test('each routee may have its own config, and numbers are never used again', async () => {
    const members = await startMembers(['control'])
    const control = members.system('control')
    const configs: string[] = []
    const noted: ActorDefinition<string, string[], EchoMessage> = {
      ...echo,
      start(config) {
        configs.push(config)
        return []
      },
    }
    const configOf = (config: string, n: number): string => `${config}:${n}`
    const pool = poolOf(noted, { size: 2, picker: byChance(), configOf })
    const ref = control.spawn(pool, 'cuda', { name: 'pool' })
    ref.tell({ type: 'pool-resize', size: 1 })
    ref.tell({ type: 'pool-resize', size: 2 })
    await members.world.clock.advance(10)
    expect(configs).toEqual(['cuda:0', 'cuda:1', 'cuda:2'])
  })

  test('a size that is not legal is refused when the pool is defined', () => {
    for (const size of [-1, 0.5, 5_000, Number.NaN]) {
      const define = () => poolOf(echo, { size, picker: roundRobin() })
      expect(define).toThrow(new RangeError(`size: ${size}, legal is 0 to 4096`))
    }
  })

  test('a routee that does not start is a StartError of the pool', async () => {
    const members = await startMembers(['control'])
    const pool = poolOf(echo, { size: 2, picker: roundRobin() })
    const start = () => members.system('control').spawn(pool, 'bad', { name: 'pool' })
    expect(start).toThrow(/pool did not start: StartError: .*routee-0 did not start: .*bad config/)
    expect(members.system('control').actors()).toHaveLength(1)
  })
})

// Compiled, never run: what must not compile.
export function types(system: System, routee: Ref<EchoMessage>) {
  const router = system.spawn(roundRobinRouter, { routees: [routee] }, { name: 'router' })
  const asEcho: Ref<EchoMessage> = router
  const control: Ref<RouterMessage> = router
  const pool = system.spawn(poolOf(echo, { size: 1, picker: roundRobin() }), '', { name: 'pool' })
  const poolControl: Ref<PoolControl> = pool
  // @ts-expect-error no such message
  router.tell({ type: 'unknown' })
  // @ts-expect-error a pool's size is a number
  pool.tell({ type: 'pool-resize', size: 'large' })
  // @ts-expect-error a router has no pool to resize
  router.tell({ type: 'pool-resize', size: 1 })
  // @ts-expect-error the config is the routees', a text
  system.spawn(poolOf(echo, { size: 1, picker: roundRobin() }), 7, { name: 'pool' })
  // @ts-expect-error a key of messages that these are not
  routerOf(echo, { picker: consistentHash<{ type: 'other'; id: string }>(({ id }) => id) })
  return [asEcho, control, poolControl, next(0)]
}
