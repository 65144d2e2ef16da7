// What a shape rule is given and gives.
import type { Extent, Node } from '../graph.ts'

export type Shape = readonly Extent[]

/** The values of an int64 tensor that is known before the graph runs. */
export type Literals = (name: string) => number[] | undefined

/** Shape of the one output of a node. Throws `GraphError` where the inputs do not fit. */
export type ShapeRule = (node: Node, inputs: readonly Shape[], literals: Literals) => Shape

/** A shape per output of a node that has several, left-out ones included. */
export type OutputsRule = (
  node: Node,
  inputs: readonly Shape[],
  literals: Literals,
) => readonly Shape[]
