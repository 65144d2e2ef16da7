// Rewrites operators that have no gradient rule of their own into operators that have one: recurrent
// layers step by step, losses as the log-softmax and picking that they are. Other nodes stay as they are.
import { type Builder, graphBuilder, type Handle } from '../builder.ts'
import { type Graph, GraphError, type Node } from '../graph.ts'
import { lossLowerings } from './losses.ts'
import { recurrentLowerings } from './recurrent.ts'

/** The outputs of the node, in its order; undefined = it has none there. */
export type Lowering = (
  b: Builder,
  node: Node,
  inputs: readonly (Handle | undefined)[],
) => readonly (Handle | undefined)[]

const lowerings: Readonly<Record<string, Lowering>> = { ...recurrentLowerings, ...lossLowerings }

export const isLowered = (op: string): boolean => Object.hasOwn(lowerings, op)

/** The same values by the same names. Throws `GraphError` naming a node that cannot be rewritten. */
export function lowered(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => isLowered(op))) return graph
  const b = graphBuilder(graph.name, { ...graph, nodes: [], outputs: [] })
  for (const node of graph.nodes) {
    const lowering = isLowered(node.op) ? lowerings[node.op] : undefined
    if (!lowering) {
      b.append(node)
      continue
    }
    const made = lowering(
      b,
      node,
      node.inputs.map((input) => (input ? b.value(input) : undefined)),
    )
    for (const [index, output] of node.outputs.entries()) {
      if (!output) continue
      const value = made[index]
      if (!value) throw new GraphError(`node ${node.name}: output ${output} is not supported`)
      b.named(value, output)
    }
  }
  return b.build(graph.outputs, graph.metadata)
}
