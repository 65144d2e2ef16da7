// Seeded random numbers, the only ones in the project: xoshiro128** (Blackman and Vigna 2018), seeded
// through an FNV-1a hash of labels. Not for secrets.

export interface Random {
  /** Uniform in [0, 1), 32 bits of resolution. */
  next(): number
  /** Uniform integer in [0, limit). */
  below(limit: number): number
  /** Standard normal (Box-Muller). */
  normal(): number
  /** Four unsigned words: what a checkpoint keeps. */
  state(): RandomState
}

export type RandomState = readonly [number, number, number, number]

/** A stream named by its labels: `randomFor(seed, 'minibatch', epoch)` never depends on another. */
export function randomFor(...labels: readonly (string | number)[]): Random {
  return randomFrom(seedState(labels.join('/')))
}

/** Continues a stream from a state that `state()` returned. */
export function randomFrom(state: RandomState): Random {
  let [a, b, c, d] = state
  const u32 = (): number => {
    const product = Math.imul(b, 5)
    const result = Math.imul((product << 7) | (product >>> 25), 9)
    const shifted = b << 9
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    d = (d << 11) | (d >>> 21)
    return result >>> 0
  }
  const next = (): number => u32() / 4294967296
  return {
    next,
    below: (limit) => Math.floor(next() * limit),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
    state: () => [a >>> 0, b >>> 0, c >>> 0, d >>> 0],
  }
}

/** Fisher-Yates, in place. */
export function shuffle<T extends Uint32Array | unknown[]>(values: T, random: Random): T {
  for (let i = values.length - 1; i > 0; i--) {
    const j = random.below(i + 1)
    const kept = values[i]!
    values[i] = values[j]!
    values[j] = kept
  }
  return values
}

function seedState(label: string): RandomState {
  let hash = 0x811c9dc5
  for (let i = 0; i < label.length; i++) hash = Math.imul(hash ^ label.charCodeAt(i), 0x01000193)
  const splitMix = (): number => {
    hash = (hash + 0x9e3779b9) | 0
    let z = hash
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b)
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35)
    return (z ^ (z >>> 16)) >>> 0
  }
  return [splitMix() | 1, splitMix(), splitMix(), splitMix()]
}
