// Pass-through convolutions that read the same value become one: the branches of a module begin with three
// or four of them, each too thin to keep a core busy. Convolution, batch normalisation and rectifier are
// done once over all their channels, then split; gradients follow, one product in the place of three.
import { bytesOf, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { type Graph, integer, integersOf, type Node, type Value } from '../graph.ts'

/** Convolution, then normalisation by the minibatch, then rectifier: nobody else reads between them. */
interface Chain {
  readonly conv: Node
  readonly norm: Node
  readonly relu: Node
  readonly channels: number
}

export function joinSiblings(graph: Graph): Graph {
  const groups = siblingsOf(graph)
  if (groups.length === 0) return graph
  const replaced = new Set(groups.flat().flatMap(({ conv, norm, relu }) => [conv, norm, relu]))
  const first = new Map(groups.map((group) => [group[0]?.conv, group]))
  const initializers = new Map(graph.initializers)
  const nodes = graph.nodes.flatMap((node) => {
    const group = first.get(node)
    if (group) return joined(group, initializers)
    return replaced.has(node) ? [] : [node]
  })
  for (const { norm } of groups.flat()) {
    // Their running statistics, which nobody reads any more.
    for (const name of norm.inputs.slice(3)) initializers.delete(name)
  }
  return { ...graph, initializers, nodes }
}

function siblingsOf(graph: Graph): Chain[][] {
  const readers = new Map<string, Node[]>()
  for (const node of graph.nodes) {
    for (const input of node.inputs) readers.set(input, [...(readers.get(input) ?? []), node])
  }
  const outputs = new Set(graph.outputs.map(({ name }) => name))
  const shapes = new Map(graph.inputs.map((value) => [value.name, value]))
  const groups = new Map<string, Chain[]>()
  for (const conv of graph.nodes) {
    const chain = chainFrom(conv, { readers, outputs, shapes })
    if (!chain) continue
    const key = `${conv.inputs[0]} ${JSON.stringify([conv.attributes, chain.norm.attributes])}`
    groups.set(key, [...(groups.get(key) ?? []), chain])
  }
  return [...groups.values()].filter(({ length }) => length > 1)
}

function chainFrom(
  conv: Node,
  graph: {
    readonly readers: ReadonlyMap<string, readonly Node[]>
    readonly outputs: ReadonlySet<string>
    readonly shapes: ReadonlyMap<string, Value>
  },
): Chain | undefined {
  const isPoint =
    conv.op === 'Conv' && integersOf(conv, 'kernel_shape')?.every((size) => size === 1)
  const channels = graph.shapes.get(conv.inputs[1] ?? '')?.shape[0]
  if (!isPoint || conv.inputs.length !== 2 || typeof channels !== 'number') return undefined
  const onlyReader = (name: string): Node | undefined => {
    const all = graph.readers.get(name) ?? []
    return all.length === 1 && !graph.outputs.has(name) ? all[0] : undefined
  }
  const norm = onlyReader(conv.outputs[0] ?? '')
  const isTraining = norm?.attributes.training_mode?.value === 1
  if (norm?.op !== 'BatchNormalization' || !isTraining || norm.outputs.length !== 3)
    return undefined
  const relu = onlyReader(norm.outputs[0] ?? '')
  return relu?.op === 'Relu' ? { conv, norm, relu, channels } : undefined
}

function joined(group: readonly Chain[], initializers: Map<string, Tensor>): Node[] {
  const [head] = group
  if (!head) return []
  const name = `joined/${head.conv.name}`
  const extents = group.map(({ channels }) => channels)
  const total = extents.reduce((sum, extent) => sum + extent, 0)
  const splits = `${name}/splits`
  const lengths = bytesOf(BigInt64Array.from(extents, BigInt))
  initializers.set(splits, { dtype: 'int64', shape: [extents.length], bytes: lengths })
  // Nobody reads them, but the operator writes there: no two may be equal, or ONNX Runtime shares them.
  const unread = ['mean', 'variance'].map((each, index) => {
    const key = `${name}/former/${each}`
    const value = 1e6 + 2 * initializers.size + index
    initializers.set(key, tensorOf(new Float32Array(total).fill(value)))
    return key
  })
  const concat = (what: string, inputs: readonly (string | undefined)[]): Node => ({
    op: 'Concat',
    name: `${name}/${what}`,
    inputs: inputs.map((input) => input ?? ''),
    outputs: [`${name}/${what}`],
    attributes: { axis: integer(0) },
  })
  const split = (of: string, axis: number, outputs: readonly (string | undefined)[]): Node => ({
    op: 'Split',
    name: `${of}/split`,
    inputs: [of, splits],
    outputs: outputs.map((output) => output ?? ''),
    attributes: { axis: integer(axis) },
  })
  const [y, mean, variance, active] = ['y', 'mean', 'variance', 'active'].map((n) => `${name}/${n}`)
  return [
    concat(
      'weight',
      group.map(({ conv }) => conv.inputs[1]),
    ),
    concat(
      'gain',
      group.map(({ norm }) => norm.inputs[1]),
    ),
    concat(
      'bias',
      group.map(({ norm }) => norm.inputs[2]),
    ),
    {
      ...head.conv,
      name: `${name}/conv`,
      inputs: [head.conv.inputs[0] ?? '', `${name}/weight`],
      outputs: [`${name}/conv`],
    },
    {
      ...head.norm,
      name: `${name}/norm`,
      inputs: [`${name}/conv`, `${name}/gain`, `${name}/bias`, ...unread],
      outputs: [y ?? '', mean ?? '', variance ?? ''],
    },
    { op: 'Relu', name: active ?? '', inputs: [y ?? ''], outputs: [active ?? ''], attributes: {} },
    split(
      active ?? '',
      1,
      group.map(({ relu }) => relu.outputs[0]),
    ),
    split(
      mean ?? '',
      0,
      group.map(({ norm }) => norm.outputs[1]),
    ),
    split(
      variance ?? '',
      0,
      group.map(({ norm }) => norm.outputs[2]),
    ),
  ]
}
