// Top-1 and top-5 accuracy, with an interval that says how far it can be trusted.

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
