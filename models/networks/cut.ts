// Cuts a graph for inference into parts that follow each other, each a graph of its own with its own
// weights. A cut may go through the branches of a module: then several values pass it.
import { randomFor, shuffle } from '../../protocol/random.ts'
import { type Builder, graphBuilder, knownCount } from '../builder.ts'
import { type Graph, GraphError, integerOf, type Node, type Value } from '../graph.ts'

/** Where a graph can be cut, and what passes there. */
export interface CutGraph {
  readonly graph: Graph
  /** Those that inputs of the graph lead to, in the chosen order. */
  readonly nodes: readonly Node[]
  readonly places: readonly CutPlace[]
  /** Per node: multiply-adds, or so; with a batch of 1. */
  readonly work: readonly number[]
}

/** Cuts of one order of the nodes, as it crosses to those who compute the parts. */
export interface Cuts {
  readonly order: number
  /** Of each part but the first: its first node. */
  readonly at: readonly number[]
}

export interface CutPlace {
  /** The first node after the cut. */
  readonly at: number
  readonly values: readonly Value[]
  readonly bytes: number
}

/** More values would cost more on their way than a better balance saves. */
const VALUES_MAX = 4

/**
 * `order` 0 is that of the file. Every other number is another one, in which the branches of a module come
 * one after the other in an order of their own: where a cut goes through, other branches lie before it.
 */
export function cutPlacesOf(graph: Graph, order = 0): CutGraph {
  const constants = constantsOf(graph)
  const nodes = nodesIn(graph, order).filter((node) => !isConstant(node, constants))
  const shapes = graphBuilder(graph.name, graph)
  const readers = new Map<string, number[]>()
  nodes.forEach(({ inputs }, index) => {
    for (const input of inputs.filter((each) => !constants.has(each))) {
      readers.set(input, [...(readers.get(input) ?? []), index])
    }
  })
  for (const { name } of graph.outputs) readers.set(name, [...(readers.get(name) ?? []), END])
  const live = new Set(graph.inputs.map(({ name }) => name).filter((name) => readers.has(name)))
  const places: CutPlace[] = []
  nodes.forEach(({ inputs, outputs }, index) => {
    for (const output of outputs) if (readers.has(output)) live.add(output)
    for (const input of inputs) if (readers.get(input)?.at(-1) === index) live.delete(input)
    // What ends there cannot pass; nor what comes out of the operator that it would be fused into.
    const isBound = [...live].some((name) => {
      const of = readers.get(name) ?? []
      return of.includes(END) || isFusedInto(nodes, of)
    })
    if (live.size > VALUES_MAX || index === nodes.length - 1 || isBound) return
    const values = [...live].map((name) => shapes.value(name))
    const bytes = values.reduce((sum, value) => sum + 4 * sizeOf(value), 0)
    places.push({ at: index + 1, values, bytes })
  })
  return { graph, nodes, places, work: nodes.map((node) => workOf(shapes, node)) }
}

const END = Number.POSITIVE_INFINITY

/** ONNX Runtime computes these in the same pass as what comes before. */
const fused = new Set(['Relu', 'LeakyRelu', 'Clip', 'Sigmoid', 'HardSigmoid', 'BatchNormalization'])

function isFusedInto(nodes: readonly Node[], readers: readonly number[]): boolean {
  const [only] = readers
  return readers.length === 1 && only !== undefined && fused.has(nodes[only]?.op ?? '')
}

/** The parts between cuts. Throws `GraphError` where no cut can be. */
export function cutAt({ graph, nodes, places }: CutGraph, cuts: readonly number[]): Graph[] {
  const passing = cuts.map((cut) => {
    const place = places.find(({ at }) => at === cut)
    if (!place) throw new GraphError(`${graph.name}: it cannot be cut before node ${cut}`)
    return place.values
  })
  return [0, ...cuts].map((from, part) =>
    partOf(graph, {
      name: `${graph.name}/part ${part + 1} of ${cuts.length + 1}`,
      nodes: nodes.slice(from, cuts[part]),
      inputs: passing[part - 1] ?? graph.inputs,
      outputs: passing[part] ?? graph.outputs,
    }),
  )
}

export interface CutCosts {
  readonly parts: number
  /** Per node. */
  readonly work: readonly number[]
  /** Of a byte that passes a cut: to whoever sends it, and to whoever receives it. */
  readonly workPerByte: number
}

/** The cuts whose slowest part is fastest. Throws `GraphError` where there are not so many. */
export function planCuts(
  { graph, nodes, places }: Omit<CutGraph, 'work'>,
  { parts, work, workPerByte }: CutCosts,
): { readonly at: readonly number[]; readonly slowest: number } {
  if (parts > places.length + 1) {
    const most = `it can be cut into at most ${places.length + 1}`
    throw new GraphError(`${graph.name}: no ${parts} parts; ${most}`)
  }
  const until = [0]
  for (const each of work) until.push(until[until.length - 1]! + each)
  const ends = [{ at: 0, bytes: 0 }, ...places, { at: nodes.length, bytes: 0 }]
  const between = (from: number, to: number): number =>
    until[ends[to]!.at]! -
    until[ends[from]!.at]! +
    workPerByte * (ends[from]!.bytes + ends[to]!.bytes)
  /** Per end: slowest of the parts before it, and their cuts. The recurrence of `planPartition`. */
  let best = ends.map((_, to) => ({ slowest: between(0, to), cuts: [] as readonly number[] }))
  for (let part = 1; part < parts; part++) {
    const before = best
    best = ends.map((_, to) => {
      let found = { slowest: END, cuts: [] as readonly number[] }
      for (let from = part; from < to; from++) {
        const { slowest, cuts } = before[from]!
        const most = Math.max(slowest, between(from, to))
        if (most < found.slowest) found = { slowest: most, cuts: [...cuts, ends[from]!.at] }
      }
      return found
    })
  }
  const { cuts: at, slowest } = best[ends.length - 1]!
  return { at, slowest }
}

/** Depth first from the outputs back, inputs by chance: a topological order. */
function nodesIn(graph: Graph, order: number): readonly Node[] {
  if (order === 0) return graph.nodes
  const random = randomFor('order', order)
  const makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((name) => [name, node])))
  const seen = new Set<Node>()
  const ordered: Node[] = []
  const visit = (name: string): void => {
    const node = makers.get(name)
    if (!node || seen.has(node)) return
    seen.add(node)
    shuffle([...node.inputs], random).forEach(visit)
    ordered.push(node)
  }
  for (const { name } of graph.outputs) visit(name)
  return ordered
}

/** Values that no input of the graph leads to: weights, and what exporters compute from them. */
function constantsOf({ initializers, nodes }: Graph): ReadonlySet<string> {
  const constants = new Set(['', ...initializers.keys()])
  for (const node of nodes) {
    if (node.inputs.every((input) => constants.has(input))) {
      for (const output of node.outputs) constants.add(output)
    }
  }
  return constants
}

const isConstant = ({ outputs }: Node, constants: ReadonlySet<string>): boolean =>
  outputs.every((output) => constants.has(output))

function partOf(
  graph: Graph,
  { name, nodes, inputs, outputs }: Pick<Graph, 'name' | 'nodes' | 'inputs' | 'outputs'>,
): Graph {
  const read = new Set(nodes.flatMap((node) => node.inputs))
  const constants = constantsOf(graph)
  const made: Node[] = []
  for (const node of [...graph.nodes].reverse()) {
    if (!isConstant(node, constants) || !node.outputs.some((output) => read.has(output))) continue
    made.unshift(node)
    for (const input of node.inputs) read.add(input)
  }
  const initializers = new Map([...graph.initializers].filter(([each]) => read.has(each)))
  return { name, inputs, outputs, initializers, nodes: [...made, ...nodes] }
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
      return written * sizeOf({ shape: weight.shape.slice(1) })
    case 'Gemm':
      return written * Number(weight.shape[integerOf(node, 'transB', 0) === 1 ? 1 : 0])
    case 'MatMul':
      return written * Number(weight.shape.at(-2))
    default:
      return MULTIPLY_ADDS_PER_ELEMENT * written
  }
}

/** A symbolic extent, the batch, counts 1. */
function sizeOf({ shape }: Pick<Value, 'shape'>): number {
  return knownCount(shape.map((extent) => (typeof extent === 'number' ? extent : 1))) ?? 1
}
