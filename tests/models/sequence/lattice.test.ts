import { describe, expect, test } from 'bun:test'
import {
  checkLattice,
  LatticeError,
  latticeFromArcs,
  packLattice,
  rescore,
  unpackLattice,
} from '../../../models/sequence/lattice.ts'
import { randomFor } from '../../../protocol/random.ts'
import { caseOf, goldenCase, randomCase } from './lattices.ts'

test('a lattice comes back from its bytes as it was', () => {
  for (let seed = 0; seed < 50; seed++) {
    const { lattice } = randomCase(seed)
    expect(unpackLattice(packLattice(lattice))).toEqual(lattice)
  }
})

test('bytes at any alignment are read, and copied', () => {
  const { lattice } = goldenCase()
  const packed = packLattice(lattice)
  const moved = Object.fromEntries(
    Object.entries(packed).map(([name, bytes]) => {
      const shifted = new Uint8Array(bytes.length + 1)
      shifted.set(bytes, 1)
      return [name, shifted.subarray(1)]
    }),
  )
  const back = unpackLattice(moved)
  for (const bytes of Object.values(moved)) bytes.fill(255)
  expect(back).toEqual(lattice)
})

test('arcs may come in any order', () => {
  const c = goldenCase()
  const lattice = latticeFromArcs({ ...c, arcs: [...c.arcs].reverse() })
  checkLattice(lattice)
  expect([...lattice.arcOffset]).toEqual([0, 2, 4, 6, 8, 10, 10])
})

describe('refuses with LatticeError', () => {
  const { lattice, ...graph } = goldenCase()
  const arc = graph.arcs[0]!
  const lists = {
    'an arc over two frames': { ...graph, arcs: [...graph.arcs, { ...arc, target: 3 }] },
    'an arc back in time': { ...graph, arcs: [...graph.arcs, { ...arc, source: 3, target: 1 }] },
    'an arc from nowhere': { ...graph, arcs: [...graph.arcs, { ...arc, source: 9 }] },
    'an arc without a pdf': { ...graph, arcs: [{ ...arc, pdf: -1 }] },
    'states out of order': { times: [0, 1, 0], arcs: [], finals: new Map() },
    'a time without states': { times: [0, 2], arcs: [], finals: new Map() },
    'no start': { times: [1, 2], arcs: [], finals: new Map() },
    'no states': { times: [], arcs: [], finals: new Map() },
  }
  for (const [name, list] of Object.entries(lists)) {
    test(name, () => expect(() => latticeFromArcs(list)).toThrow(LatticeError))
  }

  const bytes = packLattice(lattice)
  const int32 = (...values: number[]): Uint8Array => new Uint8Array(Int32Array.from(values).buffer)
  const parts: Record<string, Record<string, Uint8Array>> = {
    'no parts': {},
    'a part cut short': { ...bytes, arcPdf: bytes.arcPdf!.subarray(1) },
    'a part of fewer arcs': { ...bytes, arcWord: bytes.arcWord!.subarray(4) },
    'too few times': { ...bytes, timeOffset: int32(6) },
    'times that descend': { ...bytes, timeOffset: int32(0, 3, 1, 5, 6) },
    'arc offsets that descend': { ...bytes, arcOffset: int32(0, 4, 2, 6, 8, 10, 10) },
    'an arc to its own time': { ...bytes, arcTarget: int32(1, 2, 1, 4, 3, 4, 5, 5, 5, 5) },
    'an arc out of the last state': { ...bytes, arcOffset: int32(0, 2, 4, 6, 8, 9, 10) },
    'an arc to nowhere': { ...bytes, arcTarget: int32(1, 2, 3, 4, 3, 4, 5, 5, 5, 6) },
  }
  for (const [name, part] of Object.entries(parts)) {
    test(`packed: ${name}`, () => expect(() => unpackLattice(part)).toThrow(LatticeError))
  }
})

test('a rescored lattice is the lattice of the other network', () => {
  for (let seed = 0; seed < 50; seed++) {
    const c = randomCase(seed)
    const random = randomFor('rescore', seed)
    const scores = c.scores.map(() => random.normal())
    rescore(c.lattice, scores, c.pdfs)
    expect(c.lattice).toEqual(caseOf(c, scores, c.alignment, c.pdfs).lattice)
  }
})

test('rescoring refuses other frame counts, and networks that lack a pdf', () => {
  const { lattice, scores } = goldenCase()
  expect(() => rescore(lattice, scores.subarray(3), 3)).toThrow('frames')
  expect(() => rescore(lattice, new Float32Array(6), 2)).toThrow('pdf')
})
