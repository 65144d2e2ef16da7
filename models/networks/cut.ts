// Cuts a graph for inference into parts that follow each other, each a graph of its own with its own
// weights: at values through which everything flows, such as those between two modules of a network.
import { type Builder, graphBuilder, type Handle, knownCount } from '../builder.ts'
import { type Graph, GraphError, integerOf, type Node, type Value } from '../graph.ts'
import { planPartition, type SubnetworkCost } from './partition.ts'

/** The graph between two cut points that follow each other. */
interface Section {
  readonly nodes: readonly Node[]
  /** What all that comes after it depends on; undefined in the last. */
  readonly cut: string | undefined
}

/** `parts` graphs, about equally expensive. Throws `GraphError` where it cannot be cut so often. */
export function cutGraph(graph: Graph, parts: number): readonly Graph[] {
  const sections = sectionsOf(graph)
  if (parts > sections.length) {
    const most = `it can be cut into at most ${sections.length}`
    throw new GraphError(`${graph.name}: no ${parts} parts; ${most}`)
  }
  if (parts === 1) return [graph]
  const shapes = graphBuilder(graph.name, graph)
  const { parts: planned } = planPartition({
    costs: sections.map((section) => costOf(shapes, section)),
    parts,
  })
  return planned.map(({ from, to }, index) =>
    partOf(graph, {
      name: `${graph.name}/part ${index + 1} of ${parts}`,
      nodes: sections.slice(from, to).flatMap(({ nodes }) => nodes),
      inputs: valuesAt(shapes, from === 0 ? graph.inputs : [], sections[from - 1]?.cut),
      outputs: valuesAt(shapes, to === sections.length ? graph.outputs : [], sections[to - 1]?.cut),
    }),
  )
}

/** Between two nodes where one value alone is still to be read, the graph can be cut. */
function sectionsOf(graph: Graph): Section[] {
  const nodes = graph.nodes.filter((node) => !isConstant(node))
  const constants = new Set(graph.nodes.filter(isConstant).flatMap(({ outputs }) => outputs))
  const isFlowing = (name: string): boolean =>
    name !== '' && !graph.initializers.has(name) && !constants.has(name)
  const lastReader = new Map<string, number>()
  nodes.forEach(({ inputs }, index) => {
    for (const input of inputs.filter(isFlowing)) lastReader.set(input, index)
  })
  for (const { name } of graph.outputs) lastReader.set(name, nodes.length)
  const live = new Set(graph.inputs.map(({ name }) => name).filter(isFlowing))
  const sections: Section[] = []
  let begun = 0
  nodes.forEach(({ inputs, outputs }, index) => {
    for (const output of outputs) if (lastReader.has(output)) live.add(output)
    for (const input of inputs) if (lastReader.get(input) === index) live.delete(input)
    if (live.size !== 1 || index === nodes.length - 1) return
    const [cut] = live
    sections.push({ nodes: nodes.slice(begun, index + 1), cut })
    begun = index + 1
  })
  return [...sections, { nodes: nodes.slice(begun), cut: undefined }]
}

const isConstant = ({ op }: Node): boolean => op === 'Constant'

function valuesAt(shapes: Builder, ends: readonly Value[], cut: string | undefined) {
  return ends.length > 0 || cut === undefined ? ends : [shapes.value(cut)]
}

function partOf(
  graph: Graph,
  { name, nodes, inputs, outputs }: Pick<Graph, 'name' | 'nodes' | 'inputs' | 'outputs'>,
): Graph {
  const read = new Set(nodes.flatMap((node) => node.inputs))
  const constants = graph.nodes.filter(
    (node) => isConstant(node) && node.outputs.some((output) => read.has(output)),
  )
  const initializers = new Map([...graph.initializers].filter(([each]) => read.has(each)))
  return { name, inputs, outputs, initializers, nodes: [...constants, ...nodes] }
}

/** Multiply-adds of convolutions and matrix products; of the rest, what it writes. */
function costOf(shapes: Builder, { nodes }: Section): SubnetworkCost {
  const forwardMs = nodes.reduce((sum, node) => sum + workOf(shapes, node), 0)
  return { forwardMs, backwardMs: 0, outputBytes: 0, parameterBytes: 0, stashBytes: 0 }
}

/** An element that is only read and written costs as much as so many multiply-adds. */
const MULTIPLY_ADDS_PER_ELEMENT = 10

function workOf(shapes: Builder, node: Node): number {
  const outputs = node.outputs.flatMap((name) => (name ? [shapes.value(name)] : []))
  const written = outputs.reduce((sum, value) => sum + sizeOf(value), 0)
  const weight = node.inputs[1] ? shapes.value(node.inputs[1]) : undefined
  if (!weight || weight.shape.length < 2) return MULTIPLY_ADDS_PER_ELEMENT * written
  switch (node.op) {
    case 'Conv':
      return written * sizeOf({ ...weight, shape: weight.shape.slice(1) })
    case 'Gemm':
      return written * Number(weight.shape[integerOf(node, 'transB', 0) === 1 ? 1 : 0])
    case 'MatMul':
      return written * Number(weight.shape.at(-2))
    default:
      return MULTIPLY_ADDS_PER_ELEMENT * written
  }
}

/** A symbolic extent, the batch, counts 1. */
function sizeOf({ shape }: Pick<Handle, 'shape'>): number {
  return knownCount(shape.map((extent) => (typeof extent === 'number' ? extent : 1))) ?? 1
}
