// Top-1 and top-5 accuracy, with an interval that says how far it can be trusted; and what was predicted.

export interface Hits {
  readonly images: number
  readonly top1: number
  readonly top5: number
}

export interface ImageAccuracy {
  /** In percent, all of them. */
  readonly top1: number
  readonly top5: number
  readonly low: number
  readonly high: number
}

/** Rows of `logits` whose label is the highest, or among the five highest. Ties count against it. */
export function countHits(logits: Float32Array, labels: ArrayLike<number>): Hits {
  const classes = logits.length / labels.length
  let [top1, top5] = [0, 0]
  for (let row = 0; row < labels.length; row++) {
    const scores = logits.subarray(row * classes, (row + 1) * classes)
    const own = scores[labels[row]!]!
    // Not a number is no hit.
    let better = Number.isNaN(own) ? classes : -1
    for (let i = 0; i < classes; i++) if (!(scores[i]! < own)) better += 1
    if (better < 1) top1 += 1
    if (better < 5) top5 += 1
  }
  return { images: labels.length, top1, top5 }
}

/** Classes of one image by probability, the likeliest first, and those probabilities. */
export interface TopClasses {
  readonly classes: Uint16Array
  readonly probabilities: Float32Array
}

/** Row by row of `logits` its `top` likeliest classes, side by side. */
export function topClasses(logits: Float32Array, rows: number, top: number): TopClasses {
  const count = logits.length / rows
  const kept = Math.min(top, count)
  const classes = new Uint16Array(rows * kept)
  const probabilities = new Float32Array(rows * kept)
  for (let row = 0; row < rows; row++) {
    const scores = logits.subarray(row * count, (row + 1) * count)
    const largest = scores.reduce((most, score) => Math.max(most, score), Number.NEGATIVE_INFINITY)
    const sum = scores.reduce((total, score) => total + Math.exp(score - largest), 0)
    bestOf(scores, kept).forEach((index, place) => {
      classes[row * kept + place] = index
      probabilities[row * kept + place] = Math.exp(scores[index]! - largest) / sum || 0
    })
  }
  return { classes, probabilities }
}

/** Indexes of the highest scores, kept sorted as they are met: few of many. */
function bestOf(scores: Float32Array, count: number): number[] {
  const best: number[] = []
  const rankOf = (index: number): number => {
    const value = scores[index]!
    return Number.isNaN(value) ? Number.NEGATIVE_INFINITY : value
  }
  for (let index = 0; index < scores.length; index++) {
    if (best.length === count && rankOf(index) <= rankOf(best[count - 1]!)) continue
    let place = best.length
    while (place > 0 && rankOf(index) > rankOf(best[place - 1]!)) place -= 1
    best.splice(place, 0, index)
    if (best.length > count) best.pop()
  }
  return best
}

/**
 * The class that each row counts as in a confusion matrix: its label exactly where `countHits` finds it
 * first. Of equal scores, which count against it, another one.
 */
export function predictedClasses(logits: Float32Array, labels: ArrayLike<number>): Uint16Array {
  const classes = logits.length / labels.length
  return Uint16Array.from({ length: labels.length }, (_, row) => {
    const label = labels[row]!
    const scores = logits.subarray(row * classes, (row + 1) * classes)
    if (countHits(scores, [label]).top1 === 1 || classes === 1) return label
    const [first = 0, second = 0] = bestOf(scores, 2)
    return first === label ? second : first
  })
}

export function addHits(all: readonly Hits[]): Hits {
  const sum = (of: keyof Hits) => all.reduce((total, hits) => total + hits[of], 0)
  return { images: sum('images'), top1: sum('top1'), top5: sum('top5') }
}

/** With the 95 % interval of Wilson (1927) around top-1: it holds near 0 and 100 % too. */
export function accuracyOf({ images, top1, top5 }: Hits): ImageAccuracy {
  const z2 = 1.959_964 ** 2
  const part = top1 / images
  const centre = part + z2 / (2 * images)
  const spread = Math.sqrt(z2 * ((part * (1 - part)) / images + z2 / (4 * images * images)))
  const percent = (value: number) => (100 * value) / (1 + z2 / images)
  return {
    top1: 100 * part,
    top5: (100 * top5) / images,
    low: percent(centre - spread),
    high: percent(centre + spread),
  }
}
