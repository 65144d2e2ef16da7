// What a shape rule is given and gives.
import type { Extent, Node } from '../graph.ts'

export type Shape = readonly Extent[]

/** What is known of small tensors before the graph runs. */
export interface Literals {
  /** The values, where all of them are numbers. */
  (name: string): number[] | undefined
  /** The values, of which some may be symbols: extents of an input that are open. */
  readonly extents: (name: string) => readonly Extent[] | undefined
}

/** Shape of the one output of a node. Throws `GraphError` where the inputs do not fit. */
export type ShapeRule = (node: Node, inputs: readonly Shape[], literals: Literals) => Shape

/** A shape per output of a node that has several, left-out ones included. */
export type OutputsRule = (
  node: Node,
  inputs: readonly Shape[],
  literals: Literals,
) => readonly Shape[]

export type ShapeRules = Readonly<Record<string, ShapeRule>>
export type OutputsRules = Readonly<Record<string, OutputsRule>>
