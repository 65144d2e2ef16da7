// The acoustic model: a feed-forward network over spliced frames, with the three graphs that training
// needs. Weights are stored inputs x outputs, so the forward pass is a plain Gemm.
import { backward } from '../autodiff/backward.ts'
import { type Builder, graphBuilder, type Handle } from '../builder.ts'
import { type Graph, GraphError, integer } from '../graph.ts'
import { type ParameterLayout, type ParameterSpec, viewsOf } from '../parameters.ts'

export interface AcousticOptions {
  /** Spliced feature dimension. */
  readonly inputs: number
  /** Units of each hidden layer; with p-norm, before pooling. */
  readonly hidden: readonly number[]
  /** pdfs. */
  readonly outputs: number
  readonly nonlinearity: Nonlinearity
}

/** p-norm (Zhang et al. 2014): the 2-norm of every `group` units. */
export type Nonlinearity = 'relu' | { readonly pNormGroup: number }

export interface AcousticNetwork {
  readonly parameters: readonly ParameterSpec[]
  /** features N x inputs -> logPosteriors N x outputs. */
  readonly forward: Graph
  /** features, targets (int64, N) -> mean loss and its gradients. */
  readonly crossEntropy: Graph
  /** features, outer (N x outputs) -> gradients of sum(outer * logits). */
  readonly outer: Graph
}

export function acousticNetwork(options: AcousticOptions): AcousticNetwork {
  const parameters = parametersOf(options)
  const names = parameters.map(({ name }) => name)
  const { outputs } = options

  const ce = graphBuilder('acoustic/cross-entropy')
  const targets = ce.input('targets', ['N'], 'int64')
  const logPosteriors = ce.node('LogSoftmax', [logitsOf(ce, options, declare(ce, options))], {
    attributes: { axis: integer(1) },
  })
  const oneHot = ce.node('OneHot', [targets, ce.integers([outputs]), ce.constant([0, 1], [2])], {
    attributes: { axis: integer(1) },
    dtype: 'float32',
  })
  const picked = ce.node('ReduceSum', [ce.node('Mul', [oneHot, logPosteriors]), ce.integers([1])], {
    attributes: { keepdims: integer(0) },
  })
  const mean = ce.node('ReduceMean', [picked], { attributes: { keepdims: integer(0) } })
  const loss = ce.node('Neg', [mean], { name: 'loss' })

  const outer = graphBuilder('acoustic/outer')
  const logits = logitsOf(outer, options, declare(outer, options))
  return {
    parameters,
    forward: forwardGraph(options),
    crossEntropy: backward(ce.build([loss]), 'loss', names),
    outer: withoutOutputs(
      backward(outer.build([logits]), logits.name, names, { seed: 'outer' }),
      logits.name,
    ),
  }
}

/** For serving: weights as constants, with what a decoder needs in the metadata. */
export function acousticModel(
  options: AcousticOptions,
  weights: { readonly layout: ParameterLayout; readonly values: Float32Array },
  metadata: Readonly<Record<string, string>>,
): Graph {
  const graph = forwardGraph(options)
  const initializers = new Map(graph.initializers)
  for (const [name, tensor] of Object.entries(viewsOf(weights.layout, weights.values))) {
    initializers.set(name, tensor)
  }
  const inputs = graph.inputs.filter(({ name }) => !initializers.has(name))
  return { ...graph, name: 'acoustic', inputs, initializers, metadata }
}

function forwardGraph(options: AcousticOptions): Graph {
  const b = graphBuilder('acoustic/forward')
  const logits = logitsOf(b, options, declare(b, options))
  const attributes = { axis: integer(1) }
  return b.build([b.node('LogSoftmax', [logits], { attributes, name: 'logPosteriors' })])
}

function parametersOf(options: AcousticOptions): ParameterSpec[] {
  return layersOf(options).flatMap(({ inputs, outputs }, index, all) => {
    const isLast = index === all.length - 1
    // He et al. 2015 for layers before a rectifier; a small output layer starts near uniform posteriors.
    const deviation = isLast ? 0.1 / Math.sqrt(inputs) : Math.sqrt(2 / inputs)
    return [
      { name: `layer${index}.weight`, shape: [inputs, outputs], deviation },
      { name: `layer${index}.bias`, shape: [outputs], deviation: 0 },
    ]
  })
}

function layersOf({ inputs, hidden, outputs, nonlinearity }: AcousticOptions) {
  const group = nonlinearity === 'relu' ? 1 : nonlinearity.pNormGroup
  const uneven = hidden.find((units) => units % group !== 0)
  if (uneven !== undefined) throw new GraphError(`${uneven} units are no p-norm groups of ${group}`)
  const widths = [inputs, ...hidden.map((units) => units / group)]
  const sizes = [...hidden, outputs]
  return sizes.map((size, index) => ({ inputs: widths[index] ?? 0, outputs: size }))
}

function declare(b: Builder, options: AcousticOptions): ReadonlyMap<string, Handle> {
  b.input('features', ['N', options.inputs])
  return new Map(parametersOf(options).map(({ name, shape }) => [name, b.input(name, shape)]))
}

function logitsOf(
  b: Builder,
  options: AcousticOptions,
  parameters: ReadonlyMap<string, Handle>,
): Handle {
  const layers = layersOf(options)
  let x = b.value('features')
  layers.forEach((_, index) => {
    x = b.node('Gemm', [
      x,
      parameters.get(`layer${index}.weight`),
      parameters.get(`layer${index}.bias`),
    ])
    if (index < layers.length - 1) x = activate(b, x, options.nonlinearity)
  })
  return x
}

function activate(b: Builder, x: Handle, nonlinearity: Nonlinearity): Handle {
  if (nonlinearity === 'relu') return b.node('Relu', [x])
  const units = Number(x.shape[1])
  const groups = units / nonlinearity.pNormGroup
  const grouped = b.node('Reshape', [x, b.integers([-1, groups, nonlinearity.pNormGroup])])
  const square = b.node('ReduceSum', [b.node('Mul', [grouped, grouped]), b.integers([2])], {
    attributes: { keepdims: integer(0) },
  })
  // The floor keeps the gradient finite where a whole group is zero.
  return b.node('Sqrt', [b.node('Add', [square, b.constant([1e-8], [])])])
}

function withoutOutputs(graph: Graph, name: string): Graph {
  return { ...graph, outputs: graph.outputs.filter((value) => value.name !== name) }
}
