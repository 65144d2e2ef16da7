// Names to places in one flat float32 vector, and that vector to shards: contiguous, equally long.
import { assert } from '../protocol/assert.ts'
import type { Random } from '../protocol/random.ts'
import { elementCount, type Tensor, tensorOf } from '../protocol/tensor.ts'

export interface ParameterSpec {
  readonly name: string
  readonly shape: readonly number[]
  /** Initial values: normal with this standard deviation ... */
  readonly deviation: number
  /** ... around this mean. Default 0. */
  readonly mean?: number
}

export interface ParameterSlice extends ParameterSpec {
  /** In elements. */
  readonly offset: number
  readonly length: number
}

export interface ParameterLayout {
  readonly slices: readonly ParameterSlice[]
  readonly count: number
}

export interface Range {
  readonly offset: number
  readonly length: number
}

export function layoutOf(specs: readonly ParameterSpec[]): ParameterLayout {
  let count = 0
  const slices = specs.map((spec) => {
    const slice = { ...spec, offset: count, length: elementCount(spec.shape) }
    count += slice.length
    return slice
  })
  assert(new Set(specs.map(({ name }) => name)).size === specs.length, 'parameter names are unique')
  return { slices, count }
}

export function shardRanges({ count }: ParameterLayout, shards: number): Range[] {
  assert(shards > 0 && shards <= count, `${count} parameters go to 1 to ${count} shards`)
  return Array.from({ length: shards }, (_, shard) => {
    const offset = Math.floor((count * shard) / shards)
    return { offset, length: Math.floor((count * (shard + 1)) / shards) - offset }
  })
}

/** What a stretch of a range is for, in order: `Section` of the protocol. */
export interface RoleSection {
  readonly role: 'decayed' | 'free' | 'statistics'
  readonly length: number
}

/** The sections of one shard's range, of those of the whole vector; neighbours of a role are one. */
export function sectionsWithin(
  sections: readonly RoleSection[],
  { offset, length }: Range,
): RoleSection[] {
  const cut: RoleSection[] = []
  let at = 0
  for (const { role, length: whole } of sections) {
    const part = Math.min(at + whole, offset + length) - Math.max(at, offset)
    at += whole
    if (part <= 0) continue
    const last = cut.at(-1)
    if (last?.role === role) cut[cut.length - 1] = { role, length: last.length + part }
    else cut.push({ role, length: part })
  }
  return cut
}

/** Where a role's sections lie. */
export function rangesOfRole(
  sections: readonly RoleSection[],
  wanted: RoleSection['role'],
): Range[] {
  let at = 0
  return sections.flatMap(({ role, length }) => {
    const offset = at
    at += length
    return role === wanted ? [{ offset, length }] : []
  })
}

export function initialise({ slices, count }: ParameterLayout, random: Random): Float32Array {
  const flat = new Float32Array(count)
  for (const { offset, length, deviation, mean = 0 } of slices) {
    if (deviation === 0) flat.fill(mean, offset, offset + length)
    else for (let i = offset; i < offset + length; i++) flat[i] = mean + deviation * random.normal()
  }
  return flat
}

/** Each parameter as a tensor over its part of the vector: no copies. */
export function viewsOf({ slices }: ParameterLayout, flat: Float32Array): Record<string, Tensor> {
  return Object.fromEntries(
    slices.map(({ name, shape, offset, length }) => [
      name,
      tensorOf(flat.subarray(offset, offset + length), shape),
    ]),
  )
}
