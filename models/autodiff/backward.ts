// The gradient of an ONNX graph is an ONNX graph: the forward nodes, then one walk back over them that
// asks the rule of each operator. Standard operators only, so any provider of ONNX Runtime can run it.
import { assert } from '../../protocol/assert.ts'
import { type Builder, graphBuilder, type Handle, knownCount } from '../builder.ts'
import { type Graph, GraphError, type Node } from '../graph.ts'
import { type GradientRule, gradientRules } from './gradient-rules.ts'

export interface BackwardOptions {
  /**
   * Name of a graph input, shaped like `loss`, that the gradient starts from: an outer derivative.
   * Absent: the loss is one number and the gradient starts from 1.
   */
  readonly seed?: string
}

/**
 * Adds `gradient/<parameter>` outputs: dLoss/dParameter, or sum(seed * dLoss/dParameter). Throws
 * `GraphError` naming the first operator on the way that has no rule.
 */
export function backward(
  graph: Graph,
  loss: string,
  parameters: readonly string[],
  { seed }: BackwardOptions = {},
): Graph {
  const b = graphBuilder(`${graph.name}/backward`, graph)
  const onTheWay = reachedFrom(graph, parameters)
  if (!onTheWay.has(loss)) throw new GraphError(`${loss} does not depend on any parameter`)
  refuseUnknown(graph, onTheWay, loss)
  const lossValue = b.value(loss)
  const gradients = new Map<string, Handle>([
    [loss, seed ? b.input(seed, lossValue.shape) : one(b, lossValue)],
  ])
  for (const node of [...graph.nodes].reverse()) {
    const [name = ''] = node.outputs
    const grad = gradients.get(name)
    if (!grad || !onTheWay.has(name)) continue
    addInputGradients({ b, node, grad, onTheWay, gradients })
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
  readonly grad: Handle
  readonly onTheWay: ReadonlySet<string>
  readonly gradients: Map<string, Handle>
}

function addInputGradients({ b, node, grad, onTheWay, gradients }: Step): void {
  const rule = ruleOf(node)
  assert(rule !== undefined, 'operators without a rule were refused')
  const made = rule(b, {
    node,
    grad,
    inputs: node.inputs.map((input) => (input ? b.value(input) : undefined)),
    output: b.value(node.outputs[0] ?? ''),
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

/** Every value that depends on a parameter. */
function reachedFrom(graph: Graph, parameters: readonly string[]): Set<string> {
  const reached = new Set(parameters)
  for (const { inputs, outputs } of graph.nodes) {
    if (!inputs.some((input) => reached.has(input))) continue
    for (const output of outputs) reached.add(output)
  }
  return reached
}

function refuseUnknown(graph: Graph, onTheWay: ReadonlySet<string>, loss: string): void {
  const needed = new Set([loss])
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((output) => needed.has(output) && onTheWay.has(output))) continue
    for (const input of node.inputs) needed.add(input)
    if (ruleOf(node)) continue
    throw new GraphError(`node ${node.name}: operator ${node.op} has no gradient rule`)
  }
}

const ruleOf = ({ op }: Node): GradientRule | undefined =>
  Object.hasOwn(gradientRules, op) ? gradientRules[op] : undefined
