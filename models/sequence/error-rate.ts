// Word error rate: Levenshtein distance with its kinds of errors, bootstrap intervals, paired tests.
import type { Random } from '../../protocol/random.ts'

export interface ErrorCounts {
  readonly insertions: number
  readonly deletions: number
  readonly substitutions: number
  /** Of the reference. */
  readonly words: number
}

export interface ErrorRate extends ErrorCounts {
  readonly percent: number
  /** 95 % interval over utterances, in percent. */
  readonly low: number
  readonly high: number
}

/** Among alignments of equal distance, substitutions are preferred to insertion plus deletion. */
export function countErrors(
  reference: ArrayLike<number | string>,
  hypothesis: ArrayLike<number | string>,
): ErrorCounts {
  const [rows, columns] = [reference.length, hypothesis.length]
  const width = columns + 1
  const distance = new Int32Array((rows + 1) * width)
  for (let i = 0; i <= rows; i++) {
    for (let j = 0; j <= columns; j++) {
      if (i === 0 || j === 0) distance[i * width + j] = i + j
      else {
        const differs = reference[i - 1] === hypothesis[j - 1] ? 0 : 1
        distance[i * width + j] = Math.min(
          distance[(i - 1) * width + j - 1]! + differs,
          distance[(i - 1) * width + j]! + 1,
          distance[i * width + j - 1]! + 1,
        )
      }
    }
  }
  let [i, j] = [rows, columns]
  let [insertions, deletions, substitutions] = [0, 0, 0]
  while (i > 0 || j > 0) {
    const here = distance[i * width + j]!
    const differs = i > 0 && j > 0 && reference[i - 1] === hypothesis[j - 1] ? 0 : 1
    if (i > 0 && j > 0 && here === distance[(i - 1) * width + j - 1]! + differs) {
      substitutions += differs
      i -= 1
      j -= 1
    } else if (i > 0 && here === distance[(i - 1) * width + j]! + 1) {
      deletions += 1
      i -= 1
    } else {
      insertions += 1
      j -= 1
    }
  }
  return { insertions, deletions, substitutions, words: rows }
}

export function errorsOf({ insertions, deletions, substitutions }: ErrorCounts): number {
  return insertions + deletions + substitutions
}

const SAMPLES = 2_000

/** Bootstrap over utterances (Bisani and Ney 2004). */
export function errorRate(utterances: readonly ErrorCounts[], random: Random): ErrorRate {
  const total = utterances.reduce(add, noErrors)
  const percents = resample(utterances.length, random, (indices) => {
    let errors = 0
    let words = 0
    for (const index of indices) {
      errors += errorsOf(utterances[index]!)
      words += utterances[index]!.words
    }
    return (100 * errors) / Math.max(1, words)
  })
  const percent = (100 * errorsOf(total)) / Math.max(1, total.words)
  return { ...total, percent, low: quantile(percents, 0.025), high: quantile(percents, 0.975) }
}

/** Relative change in percent from `before` to `after` on the same utterances, with a 95 % interval. */
export function pairedBootstrap(
  before: readonly ErrorCounts[],
  after: readonly ErrorCounts[],
  random: Random,
): { readonly relativePercent: number; readonly low: number; readonly high: number } {
  const change = (indices: Iterable<number>): number => {
    let [old, now] = [0, 0]
    for (const index of indices) {
      old += errorsOf(before[index]!)
      now += errorsOf(after[index]!)
    }
    return old === 0 ? 0 : (100 * (now - old)) / old
  }
  const changes = resample(before.length, random, change)
  const relativePercent = change(before.keys())
  return { relativePercent, low: quantile(changes, 0.025), high: quantile(changes, 0.975) }
}

const noErrors: ErrorCounts = { insertions: 0, deletions: 0, substitutions: 0, words: 0 }

function add(a: ErrorCounts, b: ErrorCounts): ErrorCounts {
  return {
    insertions: a.insertions + b.insertions,
    deletions: a.deletions + b.deletions,
    substitutions: a.substitutions + b.substitutions,
    words: a.words + b.words,
  }
}

/** Sorted values of a statistic over samples drawn with replacement. */
function resample(
  count: number,
  random: Random,
  statistic: (indices: Uint32Array) => number,
): Float64Array {
  const indices = new Uint32Array(count)
  const values = new Float64Array(SAMPLES)
  for (let sample = 0; sample < SAMPLES; sample++) {
    for (let i = 0; i < count; i++) indices[i] = random.below(count)
    values[sample] = statistic(indices)
  }
  return values.sort()
}

function quantile(sorted: Float64Array, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0
}
