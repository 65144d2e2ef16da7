// Word error rate: Levenshtein distance with its kinds of errors, bootstrap intervals, paired tests.
import { assert } from '../../protocol/assert.ts'
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
  /** 95 % interval, in percent. */
  readonly low: number
  readonly high: number
}

/**
 * Levenshtein distance, every error costs 1. Where alignments tie, the one of Kaldi's `compute-wer`: a
 * pair of words only if it is the single best last step, else a deletion, and an insertion where those
 * two tie. So of 'a b' -> 'b c' it counts a deletion and an insertion, not two substitutions, as sclite
 * does with its weights 4, 3, 3.
 */
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
    const differs = i > 0 && j > 0 && reference[i - 1] === hypothesis[j - 1] ? 0 : 1
    const at = i * width + j
    const paired = i > 0 && j > 0 ? distance[at - width - 1]! + differs : OUTSIDE
    const deleted = i > 0 ? distance[at - width]! + 1 : OUTSIDE
    const inserted = j > 0 ? distance[at - 1]! + 1 : OUTSIDE
    if (paired < deleted && paired < inserted) {
      substitutions += differs
      i -= 1
      j -= 1
    } else if (deleted < inserted) {
      deletions += 1
      i -= 1
    } else {
      insertions += 1
      j -= 1
    }
  }
  return { insertions, deletions, substitutions, words: rows }
}

/** The cost of a step from outside of the table. */
const OUTSIDE = Number.POSITIVE_INFINITY

export function errorsOf({ insertions, deletions, substitutions }: ErrorCounts): number {
  return insertions + deletions + substitutions
}

const SAMPLES = 2_000

export interface BootstrapOptions {
  /**
   * Speaker or recording of every utterance: utterances of a group are drawn together, because their
   * errors are no independent evidence. Without it every utterance is its own group.
   */
  readonly groups?: readonly (string | number)[]
}

/** Bootstrap over utterances or groups (Bisani and Ney 2004), 95 %. */
export function errorRate(
  utterances: readonly ErrorCounts[],
  random: Random,
  { groups }: BootstrapOptions = {},
): ErrorRate {
  const total = utterances.reduce(add, noErrors)
  const drawn = groups ? poolGroups(utterances, groups) : utterances
  const percents = resample(drawn.length, random, (indices) => {
    let errors = 0
    let words = 0
    for (const index of indices) {
      errors += errorsOf(drawn[index]!)
      words += drawn[index]!.words
    }
    return (100 * errors) / Math.max(1, words)
  })
  const percent = (100 * errorsOf(total)) / Math.max(1, total.words)
  return { ...total, percent, low: quantile(percents, 0.025), high: quantile(percents, 0.975) }
}

export interface PairedComparison {
  readonly relativePercent: number
  /** 95 % interval of `relativePercent`. */
  readonly low: number
  readonly high: number
  /** Part of the samples in which `after` makes fewer errors. */
  readonly improvementProbability: number
}

/** Relative change in percent from `before` to `after` on the same utterances, drawn together. */
export function pairedBootstrap(
  before: readonly ErrorCounts[],
  after: readonly ErrorCounts[],
  random: Random,
  { groups }: BootstrapOptions = {},
): PairedComparison {
  assert(before.length === after.length, 'both systems were given the same utterances')
  const [old, now] = groups
    ? [poolGroups(before, groups), poolGroups(after, groups)]
    : [before, after]
  const change = (indices: Iterable<number>): number => {
    let [oldErrors, nowErrors] = [0, 0]
    for (const index of indices) {
      oldErrors += errorsOf(old[index]!)
      nowErrors += errorsOf(now[index]!)
    }
    return oldErrors === 0 ? 0 : (100 * (nowErrors - oldErrors)) / oldErrors
  }
  const changes = resample(old.length, random, change)
  return {
    relativePercent: change(old.keys()),
    low: quantile(changes, 0.025),
    high: quantile(changes, 0.975),
    improvementProbability: changes.filter((value) => value < 0).length / changes.length,
  }
}

/** The counts of each group, groups in the order of their first utterance. */
function poolGroups(
  utterances: readonly ErrorCounts[],
  groups: readonly (string | number)[],
): ErrorCounts[] {
  assert(groups.length === utterances.length, 'every utterance has its group')
  const pooled = new Map<string | number, ErrorCounts>()
  utterances.forEach((counts, index) => {
    const group = groups[index]!
    pooled.set(group, add(pooled.get(group) ?? noErrors, counts))
  })
  return [...pooled.values()]
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
