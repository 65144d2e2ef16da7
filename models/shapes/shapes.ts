// Shape inference: a table of rules per kind of operator. It knows which axes were broadcast; symbolic
// extents (strings) stay symbolic, and what only the run will tell becomes a symbol of its own.
import { GraphError, type Node, type Value } from '../graph.ts'
import { arrangementOutputs, arrangementShapes } from './arrangement.ts'
import { elementwiseOutputs, elementwiseShapes } from './elementwise.ts'
import { indexingShapes } from './indexing.ts'
import { matrixOutputs, matrixShapes } from './matrix.ts'
import { reductionOutputs, reductionShapes } from './reductions.ts'
import type { Literals, OutputsRules, Shape, ShapeRules } from './rule.ts'
import { windowOutputsRules, windowRules } from './windows.ts'

export { inferDTypes } from './dtypes.ts'
export { broadcastShapes } from './elementwise.ts'
export { axesOf } from './reductions.ts'

/** Operators of several outputs. */
const outputsRules: OutputsRules = {
  ...elementwiseOutputs,
  ...reductionOutputs,
  ...arrangementOutputs,
  ...matrixOutputs,
  ...windowOutputsRules,
}

const rules: ShapeRules = {
  ...elementwiseShapes,
  ...reductionShapes,
  ...matrixShapes,
  ...arrangementShapes,
  ...indexingShapes,
  ...windowRules,
}

/** One shape per output of the node, left-out outputs included. */
export function inferShapes(
  node: Node,
  inputs: readonly (Value | undefined)[],
  literals: Literals,
): readonly Shape[] {
  const shapes = inputs.map((value) => value?.shape ?? [])
  if (Object.hasOwn(outputsRules, node.op)) {
    return outputsRules[node.op]?.(node, shapes, literals) ?? []
  }
  const rule = Object.hasOwn(rules, node.op) ? rules[node.op] : undefined
  if (!rule) throw new GraphError(`${node.name}: no shape rule for operator ${node.op}`)
  return [rule(node, shapes, literals)]
}
