import { expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  appliedByAll,
  appliedCount,
  hasApplied,
  nothingApplied,
  withApplied,
} from '../../actors/applied-set.ts'

const sequences = fc.uniqueArray(fc.nat(40), { maxLength: 40 })

test('an applied set holds exactly what was put in, in any order', () => {
  fc.assert(
    fc.property(sequences, (given) => {
      const set = given.reduce(withApplied, nothingApplied)
      for (let sequence = 0; sequence <= 41; sequence++) {
        expect(hasApplied(set, sequence)).toBe(given.includes(sequence))
      }
      expect(appliedCount(set)).toBe(given.length)
    }),
  )
})

test('numbers below the mark take no memory', () => {
  let set = nothingApplied
  for (let sequence = 0; sequence < 1_000; sequence++) set = withApplied(set, sequence)
  expect(set).toEqual({ below: 1_000, above: new Set() })
})

test('applied by all is the intersection', () => {
  fc.assert(
    fc.property(fc.array(sequences, { minLength: 1, maxLength: 4 }), (given) => {
      const common = appliedByAll(given.map((one) => one.reduce(withApplied, nothingApplied)))
      for (let sequence = 0; sequence <= 41; sequence++) {
        const inAll = given.every((one) => one.includes(sequence))
        expect(hasApplied(common, sequence)).toBe(inAll)
      }
    }),
  )
})
