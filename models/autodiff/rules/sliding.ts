// What the gradients of convolutions and pools share: a window on its way over an image.
import type { Handle } from '../../builder.ts'
import { type Attributes, GraphError, integer, integers, type Node } from '../../graph.ts'
import type { Window } from '../../shapes/windows.ts'

export interface Sliding {
  readonly node: Node
  readonly groups: number
  readonly window: Window
}

export function extentOf(node: Node, { name, shape }: Handle, axis: number): number {
  const extent = shape[axis]
  if (typeof extent === 'number') return extent
  throw new GraphError(`node ${node.name}: ${name} has the open extent ${extent} at axis ${axis}`)
}

export function attributesOf({ groups, window }: Omit<Sliding, 'node'>): Attributes {
  const { kernel, strides, dilations, pads } = window
  return {
    group: integer(groups),
    kernel_shape: integers(kernel),
    strides: integers(strides),
    dilations: integers(dilations),
    pads: integers(pads),
  }
}
