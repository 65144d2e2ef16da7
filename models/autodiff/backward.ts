// The gradient of an ONNX graph is an ONNX graph: the forward nodes, then one walk back over them that
// asks the rule of each operator. Standard operators only, so any provider of ONNX Runtime can run it.
import { assert } from '../../protocol/assert.ts'
import { type Builder, graphBuilder, type Handle, knownCount } from '../builder.ts'
import { type Graph, GraphError, type Node } from '../graph.ts'
import { lowered } from '../lowering/lower.ts'
import { gradientRules, severalOutputs } from './gradient-rules.ts'
import type { GradientRule } from './rule.ts'

export interface BackwardOptions {
  /**
   * Name of a graph input, shaped like `loss`, that the gradient starts from: an outer derivative.
   * Absent: the loss is one number and the gradient starts from 1.
   */
  readonly seed?: string
  /** Further values that the gradient starts from, each with the graph input that it starts with. */
  readonly outer?: Readonly<Record<string, string>>
}

/**
 * Adds `gradient/<parameter>` outputs: dLoss/dParameter, or sum(seed * dLoss/dParameter). Throws
 * `GraphError` naming the first operator on the way that has no rule.
 */
export function backward(
  given: Graph,
  loss: string,
  parameters: readonly string[],
  { seed, outer = {} }: BackwardOptions = {},
): Graph {
  const graph = lowered(given)
  const b = graphBuilder(`${graph.name}/backward`, graph)
  const onTheWay = reachedFrom(b, graph, parameters)
  const starts = [loss, ...Object.keys(outer)]
  for (const start of starts) {
    if (!onTheWay.has(start)) throw new GraphError(`${start} does not depend on any parameter`)
  }
  refuseUnknown(graph, onTheWay, starts)
  const lossValue = b.value(loss)
  const gradients = new Map<string, Handle>([
    [loss, seed ? b.input(seed, lossValue.shape) : one(b, lossValue)],
    ...Object.entries(outer).map(
      ([name, input]) => [name, b.input(input, b.value(name).shape)] as const,
    ),
  ])
  for (const node of [...graph.nodes].reverse()) {
    const grads = node.outputs.map((name) => (onTheWay.has(name) ? gradients.get(name) : undefined))
    if (grads.some((grad) => grad)) addInputGradients({ b, node, grads, onTheWay, gradients })
  }
  const outputs = parameters.map((parameter) => {
    const grad = gradients.get(parameter)
    if (!grad) throw new GraphError(`${loss} does not depend on parameter ${parameter}`)
    return b.named(grad, `gradient/${parameter}`)
  })
  return b.build([...graph.outputs, ...outputs], graph.metadata)
}

function one(b: Builder, { name, shape }: Handle): Handle {
  if (knownCount(shape) !== 1) {
    throw new GraphError(`${name} is ${shape.join('x')}, not one number: its gradient needs a seed`)
  }
  return b.constant([1], shape as readonly number[])
}

interface Step {
  readonly b: Builder
  readonly node: Node
  readonly grads: readonly (Handle | undefined)[]
  readonly onTheWay: ReadonlySet<string>
  readonly gradients: Map<string, Handle>
}

function addInputGradients({ b, node, grads, onTheWay, gradients }: Step): void {
  const rule = ruleOf(node)
  assert(rule !== undefined, 'operators without a rule were refused')
  const outputs = node.outputs.map((output) => (output ? b.value(output) : undefined))
  const isSeveral = severalOutputs.has(node.op)
  const other = grads.findIndex((grad, index) => grad && index > 0)
  if (other > 0 && !isSeveral) {
    const what = `output ${other} (${node.outputs[other]})`
    throw new GraphError(`node ${node.name}: ${node.op} has no gradient for its ${what}`)
  }
  const [output] = outputs
  const grad = grads.find((each) => each)
  assert(output !== undefined && grad !== undefined, 'a node has a first output, and a gradient')
  const made = rule(b, {
    node,
    grad,
    grads,
    output,
    outputs,
    inputs: node.inputs.map((input) => (input ? b.value(input) : undefined)),
    isWanted: (input) => onTheWay.has(node.inputs[input] ?? ''),
  })
  node.inputs.forEach((input, index) => {
    const part = made[index]
    if (!onTheWay.has(input)) return
    if (!part) {
      // Integers (shapes, indices) have no gradient; a missing float gradient would be a wrong sum.
      if (b.value(input).dtype !== 'float32') return
      throw new GraphError(`node ${node.name}: ${node.op} has no gradient for its input ${input}`)
    }
    const sum = gradients.get(input)
    gradients.set(input, sum ? b.node('Add', [sum, part]) : part)
  })
}

/** Every float value that depends on a parameter: nothing flows through shapes, indices and masks. */
function reachedFrom(b: Builder, graph: Graph, parameters: readonly string[]): Set<string> {
  const reached = new Set(parameters)
  for (const { inputs, outputs } of graph.nodes) {
    if (!inputs.some((input) => reached.has(input))) continue
    for (const output of outputs) {
      if (output && b.value(output).dtype.startsWith('float')) reached.add(output)
    }
  }
  return reached
}

function refuseUnknown(
  graph: Graph,
  onTheWay: ReadonlySet<string>,
  starts: readonly string[],
): void {
  const needed = new Set(starts)
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => needed.has(output) && onTheWay.has(output))) continue
    for (const input of node.inputs) needed.add(input)
    if (ruleOf(node)) continue
    throw new GraphError(`node ${node.name}: operator ${node.op} has no gradient rule`)
  }
}

const ruleOf = ({ op }: Node): GradientRule | undefined =>
  Object.hasOwn(gradientRules, op) ? gradientRules[op] : undefined
