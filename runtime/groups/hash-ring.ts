// Consistent hashing: every name stands at many points of a ring, a key belongs to the next point. When a
// name comes or goes, only the keys between its points and their neighbours move.
import { assert } from '../../protocol/assert.ts'

export interface HashRing {
  /** Index of the name that owns the key. */
  ownerOf(key: string): number
}

/** More points share the keys more evenly: with 128 a share differs from the mean by about a tenth. */
const POINTS = 128

/** Depends on the names alone, never on their order. Throws where there is none. */
export function createHashRing(names: readonly string[], points = POINTS): HashRing {
  assert(names.length > 0, 'a ring has at least one name')
  const ring = names.flatMap((name, index) =>
    Array.from({ length: points }, (_, n) => ({ at: hashOf(`${name}/${n}`), name, index })),
  )
  ring.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1))
  const places = Uint32Array.from(ring, ({ at }) => at)
  return {
    ownerOf(key) {
      const next = firstAtLeast(places, hashOf(key))
      return ring[next % ring.length]!.index
    },
  }
}

/** 32 bits of a text: FNV-1a, then the finaliser of MurmurHash3, since FNV alone barely mixes its last letters. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) >>> 0
}

function firstAtLeast(sorted: Uint32Array, value: number): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]! < value) low = middle + 1
    else high = middle
  }
  return low
}
