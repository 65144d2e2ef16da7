// Fine-tuning of a graph that somebody else made: which of its tensors are trained, and the graph of a
// loss over its output.
import { elementCount, type Tensor, tensorOf } from '../protocol/tensor.ts'
import { gradientRules } from './autodiff/gradient-rules.ts'
import { graphBuilder } from './builder.ts'
import { type Graph, GraphError, integer, integerOf, type Node } from './graph.ts'
import { isLowered, lowered } from './lowering/lower.ts'

export interface Trainable {
  readonly name: string
  readonly shape: readonly number[]
  /** As the file has it. */
  readonly tensor: Tensor
}

/** Inputs of these operators that are set, or estimated, and not trained. */
const untrained: Readonly<Record<string, readonly number[]>> = {
  BatchNormalization: [3, 4],
  Pad: [2],
  Resize: [1, 2],
  Clip: [1, 2],
  Dropout: [1],
  OneHot: [2],
  Pow: [1],
}

/** The float32 tensors that nodes multiply, add or look up; single numbers are constants of a formula. */
export function trainableOf(graph: Graph): Trainable[] {
  const used = new Set<string>()
  for (const { op, inputs } of graph.nodes) {
    const kept = Object.hasOwn(untrained, op) ? (untrained[op] ?? []) : []
    for (const [index, input] of inputs.entries()) if (!kept.includes(index)) used.add(input)
  }
  // Running statistics stay as they are, wherever else they are used.
  for (const { op, inputs } of graph.nodes) {
    if (op === 'BatchNormalization') for (const input of inputs.slice(3)) used.delete(input)
  }
  return [...graph.initializers].flatMap(([name, tensor]) => {
    const { dtype, shape } = tensor
    const isTrained = dtype === 'float32' && shape.length > 0 && used.has(name)
    return isTrained && elementCount(shape) > 0 && !isNumber(graph, name, shape)
      ? [{ name, shape, tensor }]
      : []
  })
}

/** One number that is no weight of a layer. */
function isNumber(graph: Graph, name: string, shape: readonly number[]): boolean {
  const layers = 'MatMul Gemm Conv ConvTranspose PRelu BatchNormalization LayerNormalization'.split(
    ' ',
  )
  const isWeight = ({ op, inputs }: Node) => layers.includes(op) && inputs.includes(name)
  return elementCount(shape) === 1 && !graph.nodes.some(isWeight)
}

export interface FineTuningOptions {
  readonly loss: 'cross-entropy' | 'mean-squared-error'
  /** Which output the loss is over. Default: the first. */
  readonly output?: string
  /** Other classes than the model was made for: its last Gemm starts again from zeros. */
  readonly replaceHead?: { readonly classes: number }
}

export interface FineTuning {
  /** With inputs `targets` and one per trainable tensor, and the outputs `loss` and `output`. */
  readonly graph: Graph
  readonly trainable: readonly Trainable[]
}

/**
 * `targets`: class numbers (int64, one per row) for cross-entropy over scores or, behind a final Softmax,
 * over its input; else float32 as the output. Throws `GraphError` listing every node whose operator has no gradient.
 */
export function fineTuning(
  model: Graph,
  { loss, output: wanted, replaceHead }: FineTuningOptions,
): FineTuning {
  const given = replaceHead
    ? withHead(model, wanted ?? model.outputs[0]?.name ?? '', replaceHead.classes)
    : model
  const trainable = trainableOf(given)
  if (trainable.length === 0) throw new GraphError(`${given.name}: no tensor to train`)
  const names = new Set(trainable.map(({ name }) => name))
  const open: Graph = {
    ...given,
    initializers: new Map([...given.initializers].filter(([name]) => !names.has(name))),
    inputs: [
      ...given.inputs,
      ...trainable.map(({ name, shape }) => ({ name, shape, dtype: 'float32' as const })),
    ],
  }
  const output = wanted ?? open.outputs[0]?.name ?? ''
  refuseUnknown(open, names, output)
  const b = graphBuilder(given.name, lowered(open))
  const final = open.nodes.find(({ outputs }) => outputs[0] === output)
  const isChance = loss === 'cross-entropy' && final?.op === 'Softmax'
  const scores = b.value(isChance ? (final.inputs[0] ?? '') : output)
  const keepdims = { attributes: { keepdims: integer(0) } }
  if (loss === 'mean-squared-error') {
    const difference = b.node('Sub', [scores, b.input('targets', scores.shape)])
    const square = b.node('Mul', [difference, difference])
    b.named(b.node('ReduceMean', [square], keepdims), 'loss')
  } else {
    const [rows = 'N'] = scores.shape
    if (scores.shape.length !== 2) {
      throw new GraphError(
        `${output} is ${scores.shape.join('x')}: cross-entropy needs rows of scores`,
      )
    }
    const places = b.node('Unsqueeze', [b.input('targets', [rows], 'int64'), b.integers([1])])
    const along = { attributes: { axis: integer(1) } }
    const chances = b.node('LogSoftmax', [scores], along)
    const picked = b.node('GatherElements', [chances, places], along)
    b.named(b.node('Neg', [b.node('ReduceMean', [picked], keepdims)]), 'loss')
  }
  return { graph: b.build([b.value('loss'), b.value(output)], given.metadata), trainable }
}

/** All operators on the way from a trainable tensor to the output that have no gradient, in one line. */
function refuseUnknown(graph: Graph, names: ReadonlySet<string>, output: string): void {
  const reached = new Set(names)
  const needed = new Set([output])
  for (const { inputs, outputs } of graph.nodes) {
    if (inputs.some((input) => reached.has(input))) for (const each of outputs) reached.add(each)
  }
  const missing: string[] = []
  for (const { op, name, inputs, outputs } of [...graph.nodes].reverse()) {
    if (!outputs.some((each) => needed.has(each) && reached.has(each))) continue
    for (const input of inputs) needed.add(input)
    const isWithout = 'Shape Size ArgMax ArgMin Equal Greater Less Not Constant'.split(' ')
    if (Object.hasOwn(gradientRules, op) || isLowered(op) || isWithout.includes(op)) continue
    missing.unshift(`${name} (${op})`)
  }
  if (missing.length > 0) {
    throw new GraphError(`${graph.name}: no gradient rule for ${missing.join(', ')}`)
  }
}

/** A last Gemm of so many columns, weights and bias 0: every class is equally likely at first. */
function withHead(graph: Graph, output: string, classes: number): Graph {
  const producer = (name: string): Node | undefined => {
    const node = graph.nodes.find(({ outputs }) => outputs.includes(name))
    // A name for what another node makes.
    return node?.op === 'Identity' ? producer(node.inputs[0] ?? '') : node
  }
  const final = producer(output)
  const isOver = final?.op === 'Softmax' || final?.op === 'LogSoftmax'
  const head = isOver ? producer(final.inputs[0] ?? '') : final
  const weights = graph.initializers.get(head?.inputs[1] ?? '')
  if (head?.op !== 'Gemm' || !weights) {
    throw new GraphError(
      `${output} is not made by a Gemm with weights: its head cannot be replaced`,
    )
  }
  const isTurned = integerOf(head, 'transB', 0) !== 0
  const features = weights.shape[isTurned ? 1 : 0] ?? 1
  const zeros = (...shape: number[]) => tensorOf(new Float32Array(elementCount(shape)), shape)
  const initializers = new Map(graph.initializers)
  const made = isTurned ? zeros(classes, features) : zeros(features, classes)
  initializers.set(head.inputs[1] ?? '', made)
  if (head.inputs[2]) initializers.set(head.inputs[2], zeros(classes))
  return { ...graph, initializers }
}
