// Cuts a graph that `backward` made into its forward and its backward pass, so that they can run at
// different times: in a pipeline other minibatches pass between them. Together they compute what the whole
// computes, node for node; nothing is computed twice.
import { graphBuilder } from '../builder.ts'
import { type Graph, GraphError, type Node, type Value } from '../graph.ts'

export interface Stages {
  /** Outputs: what the graph has beside its gradients, then the stash. */
  readonly forward: Graph
  /** Inputs: those of the graph that the gradients read, then the stash. Outputs: `gradient/NAME`. */
  readonly backward: Graph
  /** Values that the backward pass needs from the forward pass. Inputs of the graph are not among them. */
  readonly stash: readonly Value[]
}

export interface StagesOptions {
  /**
   * The backward pass computes the forward values anew (GPipe, Huang et al. 2019): nothing is stashed but
   * the inputs. Default false.
   */
  readonly recompute?: boolean
}

/** Throws `GraphError` where the graph has no gradients, or nothing else. */
export function splitBackward(graph: Graph, { recompute = false }: StagesOptions = {}): Stages {
  const isGradient = ({ name }: Value): boolean => name.startsWith('gradient/')
  const gradients = graph.outputs.filter(isGradient)
  const results = graph.outputs.filter((output) => !isGradient(output))
  if (gradients.length === 0 || results.length === 0) {
    throw new GraphError(`${graph.name}: only what has results and gradients can be split`)
  }
  const forwardNodes = ancestorsOf(graph, names(results))
  const isKept = (node: Node): boolean => recompute || !forwardNodes.has(node) || isView(node)
  const needed = ancestorsOf(graph, names(gradients), isKept)
  const backwardNodes = graph.nodes.filter((node) => needed.has(node))
  const wanted = readBy(backwardNodes, names(gradients))
  const own = new Set(backwardNodes.flatMap(({ outputs }) => outputs))
  const stashed = graph.nodes
    .filter((node) => forwardNodes.has(node))
    .flatMap(({ outputs }) => outputs.filter((output) => wanted.has(output) && !own.has(output)))
  const forward = graph.nodes.filter((node) => forwardNodes.has(node))
  const alone = partOf(graph, { name: 'forward', nodes: forward, outputs: results })
  const { value } = graphBuilder(graph.name, alone)
  const stash = stashed.map((name) => value(name))
  const known = new Set(names(results))
  const added = stash.filter(({ name }) => !known.has(name))
  return {
    forward: { ...alone, outputs: [...results, ...added] },
    backward: partOf(graph, { name: 'backward', nodes: backwardNodes, outputs: gradients, stash }),
    stash,
  }
}

const names = (values: readonly Value[]): string[] => values.map(({ name }) => name)

/** Its first input with another shape or name: made again from what is stashed, not stashed beside it. */
const isView = ({ op }: Node): boolean =>
  ['Identity', 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze'].includes(op)

/** Nodes that lead to any of the values; the way back ends at those that are not kept. */
function ancestorsOf(
  { nodes }: Graph,
  values: readonly string[],
  isKept: (node: Node) => boolean = () => true,
): Set<Node> {
  const wanted = new Set(values)
  const found = new Set<Node>()
  for (const node of [...nodes].reverse()) {
    if (!isKept(node) || !node.outputs.some((output) => wanted.has(output))) continue
    found.add(node)
    for (const input of node.inputs) wanted.add(input)
  }
  return found
}

function readBy(nodes: readonly Node[], outputs: readonly string[]): Set<string> {
  return new Set([...nodes.flatMap(({ inputs }) => inputs), ...outputs])
}

interface Part {
  readonly name: string
  readonly nodes: readonly Node[]
  readonly outputs: readonly Value[]
  readonly stash?: readonly Value[]
}

function partOf(graph: Graph, { name, nodes, outputs, stash = [] }: Part): Graph {
  const read = readBy(nodes, names(outputs))
  const kept = [...graph.initializers].filter(([each]) => read.has(each))
  return {
    name: `${graph.name}/${name}`,
    inputs: [...graph.inputs.filter((input) => read.has(input.name)), ...stash],
    outputs,
    initializers: new Map(kept),
    nodes,
  }
}
