// What an evaluation says of single test images, counted: which classes are taken for which, and some images
// to look at.
import type { TopClasses } from '../../models/images/accuracy.ts'
import { type Confusion, insightLimits } from '../insight.ts'

export interface Predicted {
  /** Of the test image. */
  readonly index: number
  readonly label: number
  readonly predicted: number
  readonly top: TopClasses
}

type Pair = Pick<Predicted, 'label' | 'predicted'>

export function confusionOf(
  pairs: readonly Pair[],
  { model, classes }: { readonly model: string; readonly classes: readonly string[] },
): Confusion {
  const correct = pairs.filter(({ label, predicted }) => label === predicted).length
  const counted = { model, classes, images: pairs.length, correct }
  if (classes.length > insightLimits.matrixClassesMax) {
    return { ...counted, type: 'pairs', pairs: mostConfused(pairs, classes) }
  }
  const counts = classes.map(() => classes.map(() => 0))
  for (const { label, predicted } of pairs) counts[label]![predicted]! += 1
  return { ...counted, type: 'matrix', counts }
}

function mostConfused(pairs: readonly Pair[], classes: readonly string[]) {
  const counts = new Map<number, number>()
  for (const { label, predicted } of pairs) {
    if (label === predicted) continue
    const key = label * classes.length + predicted
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const most = [...counts].sort(([a, x], [b, y]) => y - x || a - b)
  return most.slice(0, insightLimits.pairsMax).map(([key, count]) => ({
    label: classes[Math.floor(key / classes.length)] ?? '',
    predicted: classes[key % classes.length] ?? '',
    count,
  }))
}

/** The first of an order, half of them mistakes; where there are too few of one kind, more of the other. */
export function samplesOf<P extends Pair & { readonly index: number }>(
  all: readonly P[],
  order: readonly number[],
): P[] {
  const { samplesMax } = insightLimits
  const byIndex = new Map(all.map((one) => [one.index, one]))
  const ordered = order.flatMap((index) => byIndex.get(index) ?? [])
  const mistakes = ordered.filter(({ label, predicted }) => label !== predicted)
  const right = ordered.filter(({ label, predicted }) => label === predicted)
  const half = samplesMax / 2
  const wrongCount = Math.min(mistakes.length, Math.max(half, samplesMax - right.length))
  return [...mistakes.slice(0, wrongCount), ...right.slice(0, samplesMax - wrongCount)]
}
