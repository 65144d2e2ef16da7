// Shifting images along their rows at the speed of memory: ONNX Runtime pads and slices short rows slowly,
// but a whole tensor, taken as one long row, is shifted by one copy. What crosses from one row into the
// next is what a mask takes away.
import type { Builder, Handle } from '../../builder.ts'
import type { Extent } from '../../graph.ts'

/** shifted[i] = x[i + by] of the flat tensor, 0 beyond its ends. */
export function shiftFlat(b: Builder, x: Handle, by: number): Handle {
  if (by === 0) return x
  const flat = b.node('Reshape', [x, b.integers([-1])])
  return reshapeLike(b, b.node('Pad', [flat, b.integers([-by, by])]), x.shape)
}

/** x where the column plus `by` is inside its row, 0 elsewhere. */
export function keepInside(b: Builder, x: Handle, by: number): Handle {
  if (by === 0) return x
  const [height = 1, width = 1] = x.shape.slice(-2).map(Number)
  const mask = Array.from({ length: height * width }, (_, at) => {
    const column = (at % width) + by
    return column >= 0 && column < width ? 1 : 0
  })
  const planes = b.node('Reshape', [x, b.integers([-1, height * width])])
  const kept = b.node('Mul', [planes, b.constant(mask, [height * width])])
  return reshapeLike(b, kept, x.shape)
}

/** The first extent may be open, the others are known. */
export function reshapeLike(b: Builder, x: Handle, shape: readonly Extent[]): Handle {
  const [first, ...rest] = shape
  const target = [typeof first === 'number' ? first : -1, ...rest.map(Number)]
  return b.node('Reshape', [x, b.integers(target)], { shape })
}
