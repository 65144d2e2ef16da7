// Placement by resource: the pure decision, and the keeper of the books over real members in a simulated
// world.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { StartError } from '../../../runtime/actor.ts'
import {
  decidePlacement,
  type Offer,
  PlacementError,
  type PlacementStrategy,
  type Reservation,
} from '../../../runtime/cluster/capacity.ts'
import { createPlacement } from '../../../runtime/cluster/placement.ts'
import { echo, type Members, startMembers } from './members.ts'

describe('the decision', () => {
  const offers: Offer[] = [
    { member: 'a', resources: { gpu: 2 } },
    { member: 'b', resources: { gpu: 4, disk: 10 } },
    { member: 'c', resources: {} },
  ]
  const on = (member: string, gpu: number): Reservation => ({ member, needs: { gpu } })
  const cases: [
    string,
    PlacementStrategy,
    Reservation[],
    Record<string, number>,
    string | undefined,
  ][] = [
    ['the least used afterwards', 'spread', [], { gpu: 1 }, 'b'],
    ['counts what is reserved', 'spread', [on('b', 3)], { gpu: 1 }, 'a'],
    ['the fullest with room', 'pack', [on('b', 3)], { gpu: 1 }, 'b'],
    ['never one without room', 'pack', [on('b', 4)], { gpu: 1 }, 'a'],
    ['all that is needed in one place', 'spread', [], { gpu: 1, disk: 5 }, 'b'],
    ['nobody has room', 'spread', [on('a', 2), on('b', 4)], { gpu: 1 }, undefined],
    ['more than anybody has', 'spread', [], { gpu: 5 }, undefined],
    ['a resource that nobody has', 'spread', [], { tpu: 1 }, undefined],
    ['nothing needed: the fewest actors, then the name', 'spread', [on('a', 0)], {}, 'b'],
  ]
  for (const [name, strategy, reservations, needs, expected] of cases) {
    test(`${strategy}: ${name}`, () => {
      expect(decidePlacement(offers, reservations, needs, strategy)).toBe(expected as string)
    })
  }

  test('never gives out more than there is, and refuses only where nothing fits', () => {
    const needs = fc.record({ gpu: fc.constantFrom(0.5, 1, 2) })
    const strategies = fc.constantFrom('spread' as const, 'pack' as const)
    fc.assert(
      fc.property(fc.array(needs, { maxLength: 30 }), strategies, (wanted, strategy) => {
        const books: Reservation[] = []
        const freeOf = ({ member, resources }: Offer): number =>
          (resources.gpu ?? 0) -
          books
            .filter((held) => held.member === member)
            .reduce((sum, held) => sum + (held.needs.gpu ?? 0), 0)
        for (const need of wanted) {
          const member = decidePlacement(offers, books, need, strategy)
          const fitting = offers.filter((offer) => freeOf(offer) >= need.gpu)
          expect(member !== undefined).toBe(fitting.length > 0)
          if (member !== undefined) books.push({ member, needs: need })
          expect(Math.min(...offers.map(freeOf))).toBeGreaterThanOrEqual(0)
        }
      }),
    )
  })
})

const gpus = { a: { gpu: 1 }, b: { gpu: 2 } }

async function setUp(): Promise<{
  members: Members
  place: (name: string, options?: object) => ReturnType<typeof spawn>
  placement: ReturnType<typeof createPlacement>
}> {
  const members = await startMembers(['control', 'a', 'b'], { resources: gpus })
  const placement = createPlacement(members.system('control'))
  const place = (name: string, options: object = {}) =>
    spawn(placement, name, { needs: { gpu: 1 }, ...options })
  return { members, placement, place }
}

const spawn = (
  placement: ReturnType<typeof createPlacement>,
  name: string,
  options: { readonly needs: Record<string, number> },
) => placement.spawn(echo, name, { name, ...options })

const membersOf = (placed: readonly { ref: { address: { member: string } } }[]): string[] =>
  placed.map(({ ref }) => ref.address.member).sort()

describe('placed actors', () => {
  test('that come at the same time never get the same room', async () => {
    const { members, place } = await setUp()
    const all = ['x', 'y', 'z', 'w'].map((name) =>
      place(name).catch((error: unknown) => error as PlacementError),
    )
    const outcomes = await members.settle(Promise.all(all))
    const refused = outcomes.filter((outcome) => outcome instanceof PlacementError)
    const placed = outcomes.filter((outcome) => !(outcome instanceof Error))
    expect(membersOf(placed as never)).toEqual(['a', 'b', 'b'])
    expect(refused.map(({ message }) => message)).toEqual([
      'nowhere to place w, which needs { gpu: 1 }: control has no gpu; a has 0 of 1 gpu free; b has 0 of 2 gpu free',
    ])
  })

  test('give their room back when they stop, and when they are given up', async () => {
    const { members, placement, place } = await setUp()
    const big = await members.settle(place('big', { needs: { gpu: 2 } }))
    expect(big.ref.address.member).toBe('b')
    const used = () => placement.usage().find(({ member }) => member === 'b')?.used.gpu ?? 0
    expect(used()).toBe(2)
    await members.settle(big.stop())
    expect(used()).toBe(0)
    const frail = await members.settle(
      place('frail', { needs: { gpu: 2 }, restart: 'temporary' as const }),
    )
    frail.ref.tell({ type: 'crash' })
    await members.world.clock.advance(2_000)
    expect(used()).toBe(0)
    expect(frail.state).toBe('ended')
  })

  test('keep their room while they restart', async () => {
    const { members, placement, place } = await setUp()
    const placed = await members.settle(place('x', { needs: { gpu: 2 } }))
    placed.ref.tell({ type: 'crash' })
    await members.world.clock.advance(5_000)
    expect(placed.state).toBe('placed')
    expect(placement.usage().find(({ member }) => member === 'b')?.used.gpu).toBe(2)
  })

  test('whose start fails hold nothing, and say why', async () => {
    const { members, placement } = await setUp()
    const failing = placement.spawn(echo, 'bad', { name: 'x', needs: { gpu: 2 } })
    const error = await members.settle(failing.catch((reason: unknown) => reason))
    expect(error).toBeInstanceOf(StartError)
    expect(placement.usage().every(({ actors }) => actors === 0)).toBe(true)
  })

  test('may wait for room, in order, until their deadline', async () => {
    const { members, place } = await setUp()
    const first = await members.settle(place('first', { needs: { gpu: 2 } }))
    const second = place('second', { needs: { gpu: 2 }, waitMs: 10_000 })
    const third = place('third', { needs: { gpu: 2 }, waitMs: 100 })
    const late = third.catch((error: Error) => error.name)
    await members.world.clock.advance(1_000)
    expect(await late).toBe('PlacementError')
    await members.settle(first.stop())
    expect((await members.settle(second)).ref.address.member).toBe('b')
  })

  test('that need little do not overtake who waits for more of the same', async () => {
    const { members, place } = await setUp()
    const held = await members.settle(Promise.all(['x', 'y', 'z'].map((name) => place(name))))
    const [onB, alsoOnB] = held.filter(({ ref }) => ref.address.member === 'b')
    const onA = held.find(({ ref }) => ref.address.member === 'a')
    const order: string[] = []
    const wait = async (name: string, gpu: number) => {
      await place(name, { needs: { gpu }, waitMs: 30_000 })
      order.push(name)
    }
    const big = wait('big', 2)
    const small = wait('small', 1)
    await members.settle(onB!.stop())
    await members.world.clock.advance(500)
    expect(order).toEqual([])
    await members.settle(alsoOnB!.stop())
    await members.settle(big)
    await members.settle(onA!.stop())
    await members.settle(small)
    expect(order).toEqual(['big', 'small'])
  })

  test('can be stopped after the placement has stopped', async () => {
    const { members, placement, place } = await setUp()
    const [first, second] = await members.settle(Promise.all([place('x'), place('y')]))
    placement.stop()
    await members.settle(first!.stop())
    expect(first!.state).toBe('ended')
    expect(second!.state).toBe('placed')
    expect(placement.usage().reduce((sum, { actors }) => sum + actors, 0)).toBe(1)
  })

  test('whose member is lost while they start hold nothing there', async () => {
    for (const options of [{}, { onMemberLoss: 'replace' as const }]) {
      const { members, placement, place } = await setUp()
      const placing = place('x', options).then(
        ({ ref }) => ref.address.member,
        (error: Error) => error.name,
      )
      members.system('control').markLost('b', 1, 'killed by SIGKILL')
      const isMobile = 'onMemberLoss' in options
      expect(await members.settle(placing)).toBe(isMobile ? 'a' : 'AskError')
      expect(placement.usage().reduce((sum, { actors }) => sum + actors, 0)).toBe(isMobile ? 1 : 0)
    }
  })

  test('are placed anew where their member is lost, if they are told to be', async () => {
    const { members, place } = await setUp()
    const moved: string[] = []
    const mobile = await members.settle(
      place('mobile', {
        needs: { gpu: 1 },
        onMemberLoss: 'replace' as const,
        onMoved: ({ address }: { address: { member: string } }) => moved.push(address.member),
      }),
    )
    const other = mobile.ref.address.member === 'a' ? 'b' : 'a'
    const lost = mobile.ref.address.member
    members.system('control').markLost(lost, 1, 'killed by SIGKILL')
    await members.world.clock.advance(1_000)
    expect(moved).toEqual([other])
    expect(mobile.ref.address.member).toBe(other)
  })

  test('end where their member is lost, if nothing else is said or nowhere else is room', async () => {
    for (const options of [{}, { onMemberLoss: 'replace' as const }]) {
      const { members, place } = await setUp()
      const ended: string[] = []
      const onEnded = (cause: string) => ended.push(cause)
      const bound = await members.settle(place('bound', { needs: { gpu: 2 }, onEnded, ...options }))
      members.system('control').markLost('b', 1, 'killed by SIGKILL')
      await members.world.clock.advance(1_000)
      expect(bound.state).toBe('ended')
      expect(ended).toHaveLength(1)
    }
  })
})
