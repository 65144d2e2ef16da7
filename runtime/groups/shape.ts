// The arithmetic of meshes: named dimensions, coordinates, ranges; the last dimension runs fastest.

/** Extent of each dimension, in order: `{ host: 2, gpu: 4 }`. */
export type Shape = Readonly<Record<string, number>>

export type Coordinates<Dimension extends string> = { readonly [D in Dimension]: number }

/** `to` is the first that is left out; absent ends are those of the dimension. */
export interface CoordinateRange {
  readonly from?: number
  readonly to?: number
}

export type Slice<Dimension extends string> = {
  readonly [D in Dimension]?: number | CoordinateRange
}

/** A number takes its dimension away; a range makes it shorter. */
export type Remaining<Dimension extends string, S> = {
  [D in Dimension]: D extends keyof S ? (S[D] extends number ? never : D) : D
}[Dimension]

/** Every coordinate of a shape, in order. */
export function coordinatesOf(shape: Shape): Record<string, number>[] {
  let all: Record<string, number>[] = [{}]
  for (const [dimension, extent] of Object.entries(shape)) {
    all = all.flatMap((at) => Array.from({ length: extent }, (_, i) => ({ ...at, [dimension]: i })))
  }
  return all
}

/** Throws `RangeError`: a dimension that is not whole, or a product that is not `size`. */
export function checkShape(shape: Shape, size: number): void {
  for (const [dimension, extent] of Object.entries(shape)) {
    if (!Number.isSafeInteger(extent) || extent < 0) {
      throw new RangeError(`${dimension}: an extent is a whole number from 0, not ${extent}`)
    }
  }
  const product = Object.values(shape).reduce((a, b) => a * b, 1)
  if (product === size) return
  throw new RangeError(`the shape ${describe(shape)} has ${product} places, not ${size}`)
}

/** Place of a coordinate in the order of the shape; throws `RangeError` with the legal range. */
export function indexAt(shape: Shape, at: Readonly<Record<string, number>>): number {
  checkDimensions(shape, at)
  let index = 0
  for (const [dimension, extent] of Object.entries(shape)) {
    index = index * extent + checkIndex(dimension, at[dimension], extent)
  }
  return index
}

export interface Cut {
  readonly shape: Shape
  /** Places in the shape that was cut, in order. */
  readonly indices: readonly number[]
}

/** Throws `RangeError` with the legal range. */
export function cut(shape: Shape, where: Slice<string>): Cut {
  checkDimensions(shape, where)
  const kept: Record<string, number> = {}
  let indices = [0]
  for (const [dimension, extent] of Object.entries(shape)) {
    const [from, to] = boundsOf(dimension, where[dimension], extent)
    if (typeof where[dimension] !== 'number') kept[dimension] = to - from
    const along = Array.from({ length: to - from }, (_, i) => from + i)
    indices = indices.flatMap((index) => along.map((i) => index * extent + i))
  }
  return { shape: kept, indices }
}

export function describe(at: Readonly<Record<string, number>>): string {
  const parts = Object.entries(at).map(([dimension, value]) => `${dimension}: ${value}`)
  return `{ ${parts.join(', ')} }`
}

function checkDimensions(shape: Shape, at: Readonly<Record<string, unknown>>): void {
  const known = Object.keys(shape)
  for (const dimension of Object.keys(at)) {
    if (!known.includes(dimension)) {
      throw new RangeError(`no dimension ${dimension}, only ${known.join(', ') || 'none'}`)
    }
  }
}

function checkIndex(dimension: string, index: number | undefined, extent: number): number {
  if (index !== undefined && Number.isSafeInteger(index) && index >= 0 && index < extent) {
    return index
  }
  const legal = extent === 0 ? 'nothing is there' : `legal is 0 to ${extent - 1}`
  throw new RangeError(`${dimension}: ${index ?? 'missing'}, ${legal}`)
}

function boundsOf(
  dimension: string,
  place: number | CoordinateRange | undefined,
  extent: number,
): [number, number] {
  if (typeof place === 'number') {
    const index = checkIndex(dimension, place, extent)
    return [index, index + 1]
  }
  const { from = 0, to = extent } = place ?? {}
  const isLegal = Number.isSafeInteger(from) && Number.isSafeInteger(to)
  if (isLegal && from >= 0 && from <= to && to <= extent) return [from, to]
  throw new RangeError(`${dimension}: ${from} up to ${to}, legal is 0 up to ${extent}`)
}
