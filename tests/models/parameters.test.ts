import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  initialise,
  layoutOf,
  type RoleSection,
  rangesOfRole,
  sectionsWithin,
  shardRanges,
  viewsOf,
} from '../../models/parameters.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View } from '../../protocol/tensor.ts'

const SEED = 29

const specs = [
  { name: 'weight', shape: [3, 4], deviation: 2 },
  { name: 'bias', shape: [4], deviation: 0 },
  { name: 'scale', shape: [], deviation: 1 },
]
const layout = layoutOf(specs)

describe('the layout', () => {
  test('places parameters one after another, in their order', () => {
    expect(layout.count).toBe(17)
    expect(layout.slices.map(({ name, offset, length }) => [name, offset, length])).toEqual([
      ['weight', 0, 12],
      ['bias', 12, 4],
      ['scale', 16, 1],
    ])
  })

  test('refuses two parameters of one name', () => {
    expect(() => layoutOf([...specs, specs[0]!])).toThrow('parameter names are unique')
  })
})

describe('shards', () => {
  test('cover every parameter once and in order, whatever their number', () => {
    const sizes = fc
      .integer({ min: 1, max: 2 ** 31 })
      .chain((count) =>
        fc.tuple(fc.constant(count), fc.integer({ min: 1, max: Math.min(count, 300) })),
      )
    fc.assert(
      fc.property(sizes, ([count, shards]) => {
        const ranges = shardRanges({ slices: [], count }, shards)
        expect(ranges).toHaveLength(shards)
        let end = 0
        for (const { offset, length } of ranges) {
          expect(offset).toBe(end)
          end += length
        }
        expect(end).toBe(count)
        const lengths = ranges.map(({ length }) => length)
        expect(Math.min(...lengths)).toBeGreaterThan(0)
        expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1)
      }),
      { seed: SEED },
    )
  })

  test.each([0, -1, 18])('cannot be %d of 17 parameters', (shards) => {
    expect(() => shardRanges(layout, shards)).toThrow('17 parameters go to 1 to 17 shards')
  })
})

describe('views', () => {
  test('share memory with the vector, both ways', () => {
    for (const buffer of [new ArrayBuffer(17 * 4), new SharedArrayBuffer(17 * 4)]) {
      const flat = new Float32Array(buffer)
      const views = viewsOf(layout, flat)
      for (const { bytes } of Object.values(views)) expect(bytes.buffer).toBe(buffer)
      flat[13] = 5
      expect(float32View(views.bias!)[1]).toBe(5)
      float32View(views.scale!)[0] = 7
      expect(flat[16]).toBe(7)
    }
  })

  test('have the shapes of the parameters and cover the vector once', () => {
    const flat = Float32Array.from({ length: 17 }, (_, i) => i)
    const views = viewsOf(layout, flat)
    expect(Object.values(views).map(({ shape }) => shape)).toEqual([[3, 4], [4], []])
    expect(Object.values(views).flatMap((view) => [...float32View(view)])).toEqual([...flat])
  })

  test('work where the vector itself is a part of a larger buffer', () => {
    const flat = Float32Array.from({ length: 20 }, (_, i) => i).subarray(3)
    expect([...float32View(viewsOf(layout, flat).bias!)]).toEqual([15, 16, 17, 18])
  })
})

describe('initial values', () => {
  test('are the same for the same seed and others for another', () => {
    const at = (seed: string) => initialise(layout, randomFor(seed))
    expect(at('a')).toEqual(at('a'))
    expect(at('a')).not.toEqual(at('b'))
  })

  test('have the deviation that was asked for, and zero is exactly zero', () => {
    const large = layoutOf([
      { name: 'w', shape: [100, 100], deviation: 0.5 },
      { name: 'b', shape: [100], deviation: 0 },
    ])
    const values = initialise(large, randomFor('deviation'))
    const weights = values.subarray(0, 10_000)
    const mean = weights.reduce((sum, value) => sum + value, 0) / 10_000
    const variance = weights.reduce((sum, value) => sum + (value - mean) ** 2, 0) / 10_000
    expect(Math.abs(mean)).toBeLessThan(0.02)
    expect(Math.sqrt(variance)).toBeCloseTo(0.5, 1)
    expect(values.subarray(10_000).every((value) => value === 0)).toBe(true)
  })
})

describe('sections', () => {
  const roles = ['decayed', 'free', 'statistics'] as const
  const spread = (sections: readonly RoleSection[]) =>
    sections.flatMap(({ role, length }) => new Array<string>(length).fill(role))

  test('of the shards are those of the whole vector, cut where the shards are', () => {
    const section = fc.record({
      role: fc.constantFrom(...roles),
      length: fc.integer({ min: 0, max: 9 }),
    })
    fc.assert(
      fc.property(
        fc.array(section, { maxLength: 12 }),
        fc.integer({ min: 1, max: 5 }),
        (all, n) => {
          const whole = spread(all)
          fc.pre(whole.length >= n)
          const ranges = shardRanges({ slices: [], count: whole.length }, n)
          const cut = ranges.map((range) => sectionsWithin(all, range))
          expect(cut.flatMap(spread)).toEqual(whole)
          for (const sections of cut) {
            for (const [index, { role, length }] of sections.entries()) {
              expect(length).toBeGreaterThan(0)
              expect(role).not.toBe(sections[index + 1]?.role ?? '')
            }
          }
        },
      ),
      { seed: SEED },
    )
  })

  test('of a role are found where they lie', () => {
    const sections = sectionsWithin(
      [
        { role: 'decayed', length: 3 },
        { role: 'free', length: 2 },
        { role: 'decayed', length: 4 },
      ],
      { offset: 1, length: 6 },
    )
    expect(rangesOfRole(sections, 'decayed')).toEqual([
      { offset: 0, length: 2 },
      { offset: 4, length: 2 },
    ])
    expect(rangesOfRole(sections, 'statistics')).toEqual([])
  })
})
