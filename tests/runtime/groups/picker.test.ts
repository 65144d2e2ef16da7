import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { randomFor } from '../../../protocol/random.ts'
import type { Ref } from '../../../runtime/actor.ts'
import { createHashRing } from '../../../runtime/groups/hash-ring.ts'
import {
  byChance,
  type Choice,
  consistentHash,
  leastLoaded,
  type Picker,
  roundRobin,
} from '../../../runtime/groups/picker.ts'
import { countTo } from './members.ts'

const seed = Number(process.env.SEED ?? 20_260_801)
const refsOf = (names: readonly string[]): Ref<never>[] =>
  names.map((name) => ({ address: { member: 'a', path: `/${name}` }, tell: () => 'accepted' }))

function choiceOf<M>(message: M, count: number, loads: readonly number[]): Choice<M> {
  const routees = refsOf(loads.map((_, n) => `routee-${n}`))
  const load = (ref: Ref<never>): number | undefined => loads[routees.indexOf(ref)]
  return { message, routees, count, random: randomFor(seed, count), load }
}

describe('pickers', () => {
  const table: [string, Picker<unknown>, number, readonly number[], number][] = [
    ['round robin begins with the first', roundRobin(), 0, [0, 0, 0], 0],
    ['round robin goes on', roundRobin(), 4, [9, 0, 0], 1],
    ['round robin: one gets all', roundRobin(), 7, [1], 0],
    ['least loaded: the smallest load', leastLoaded(), 0, [3, 1, 2], 1],
    ['least loaded: wherever the turn is', leastLoaded(), 2, [3, 1, 2], 1],
    ['least loaded: in turn among equals', leastLoaded(), 1, [2, 2, 2], 1],
    ['least loaded: in turn among idle ones', leastLoaded(), 5, [0, 0, 0], 2],
    ['least loaded: the turn skips the loaded', leastLoaded(), 0, [5, 0, 0], 1],
    ['least loaded: the only one', leastLoaded(), 3, [8], 0],
  ]
  for (const [name, picker, count, loads, picked] of table) {
    test(name, () => expect(picker.pick(choiceOf(undefined, count, loads))).toBe(picked))
  }

  test('by chance: everyone, evenly, and the same for the same seed', () => {
    const random = randomFor(seed, 'by chance')
    const again = randomFor(seed, 'by chance')
    const choice = choiceOf(undefined, 0, [0, 0, 0, 0])
    const counts = [0, 0, 0, 0]
    for (let n = 0; n < 4_000; n++) {
      const picked = byChance().pick({ ...choice, random })
      expect(byChance().pick({ ...choice, random: again })).toBe(picked)
      counts[picked]! += 1
    }
    for (const count of counts) expect(Math.abs(count - 1_000)).toBeLessThan(150)
  })

  test('least loaded never picks one that has more than another', () => {
    const property = fc.property(
      fc.array(fc.nat(20), { minLength: 1, maxLength: 12 }),
      fc.nat(1_000),
      (loads, count) => {
        const picked = leastLoaded().pick(choiceOf(undefined, count, loads))
        return loads[picked] === Math.min(...loads)
      },
    )
    fc.assert(property, { seed, numRuns: 300 })
  })

  test('consistent hash: one key, one routee, whatever was routed before', () => {
    const picker = consistentHash<{ key: string }>(({ key }) => key)
    const choice = choiceOf({ key: 'user-7' }, 0, [0, 0, 0, 0, 0])
    const picked = picker.pick(choice)
    for (const count of countTo(20)) expect(picker.pick({ ...choice, count })).toBe(picked)
  })
})

describe('a hash ring', () => {
  const keys = countTo(10_000).map((n) => `key-${n}`)
  const owners = (names: readonly string[]): string[] => {
    const ring = createHashRing(names)
    return keys.map((key) => names[ring.ownerOf(key)]!)
  }
  /** Like addresses: they differ in the last letters only. */
  const named = (count: number, prefix: string): string[] =>
    countTo(count).map((n) => `${prefix}/routee-${n}`)
  const worlds = fc.record({
    count: fc.integer({ min: 2, max: 24 }),
    prefix: fc.string({ minLength: 1, maxLength: 12 }),
  })

  test('shares the keys evenly: nobody has more than 1.5 times or less than half its share', () => {
    let worst = 1
    const property = fc.property(worlds, ({ count, prefix }) => {
      const counts = new Map<string, number>()
      for (const owner of owners(named(count, prefix))) {
        counts.set(owner, (counts.get(owner) ?? 0) + 1)
      }
      const shares = [...counts.values()].map((n) => (n * count) / keys.length)
      worst = Math.max(worst, ...shares)
      expect(counts.size).toBe(count)
      expect(Math.max(...shares)).toBeLessThan(1.5)
      expect(Math.min(...shares)).toBeGreaterThan(0.5)
    })
    fc.assert(property, { seed, numRuns: 40 })
    console.log(`hash ring: the largest share was ${worst.toFixed(2)} of the mean (seed ${seed})`)
  })

  test('one that comes takes about one in n keys, and takes them from all; none moves else', () => {
    const property = fc.property(worlds, ({ count, prefix }) => {
      const names = named(count + 1, prefix)
      const newcomer = names.at(-1)!
      const before = owners(names.slice(0, -1))
      const after = owners(names)
      const moved = keys.filter((_, i) => before[i] !== after[i])
      for (const [i, owner] of after.entries()) {
        if (owner !== before[i]) expect(owner).toBe(newcomer)
      }
      const share = (moved.length / keys.length) * (count + 1)
      expect(share).toBeGreaterThan(0.5)
      expect(share).toBeLessThan(1.5)
    })
    fc.assert(property, { seed, numRuns: 40 })
  })

  test('only the keys of one that goes move', () => {
    const property = fc.property(worlds, fc.nat(), ({ count, prefix }, n) => {
      const names = named(count, prefix)
      const gone = names[n % count]!
      const before = owners(names)
      const after = owners(names.filter((name) => name !== gone))
      for (const [i, owner] of before.entries()) {
        if (owner !== gone) expect(after[i]).toBe(owner)
      }
    })
    fc.assert(property, { seed, numRuns: 40 })
  })

  test('does not depend on the order of the names', () => {
    const names = named(9, 'x')
    expect(owners([...names].reverse())).toEqual(owners(names))
  })
})
