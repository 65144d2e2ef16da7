// The training graph of an image network, whole or of some of its subnetworks: the forward pass, the loss
// of every head in it, and all gradients.
import { backward } from '../autodiff/backward.ts'
import { type Builder, graphBuilder, type Handle } from '../builder.ts'
import { type Graph, integer } from '../graph.ts'
import { lowerForTraining } from '../lowering/training.ts'
import type { ImageNetwork, ImageParameter, NetworkPart } from './image-network.ts'

export interface TrainingOptions extends Pick<NetworkPart, 'from' | 'to'> {
  readonly batch: number
  /** epsilon: targets are 1 - epsilon + epsilon / classes, and epsilon / classes (Szegedy 2015, section 7). */
  readonly labelSmoothing: number
  /** What the loss of an auxiliary head counts: 0.3 (Szegedy 2014). */
  readonly auxiliaryWeight: number
}

/**
 * Inputs: those of `NetworkPart`; `targets` (int64, batch) where the part has a head; `outer`
 * (dLoss / dOutgoing) unless the part is the last.
 *
 * Outputs: what the forward graph has; `loss`, the mean over the minibatch, where the part has a head;
 * `gradient/NAME` of every trained parameter of the part; `gradient/activations` unless it is the first.
 */
export function trainingGraph(network: ImageNetwork, options: TrainingOptions): Graph {
  const { from, to, batch } = options
  const forward = lowerForTraining(network.forward({ from, to, batch, mode: 'training' }))
  const wanted = trainedParameters(network, options).map(({ name }) => name)
  if (from > 0) wanted.push('activations')
  const isLast = to === network.subnetworks.length
  const heads = forward.outputs.filter(({ name }) => name === 'logits' || isAuxiliary(name))
  if (heads.length === 0) return backward(forward, 'outgoing', wanted, { seed: 'outer' })
  const withLoss = addLoss(forward, options)
  return backward(withLoss, 'loss', wanted, isLast ? {} : { outer: { outgoing: 'outer' } })
}

/** Those of a part that gradients change, auxiliary heads included. */
export function trainedParameters(
  { parameters }: ImageNetwork,
  { from, to }: Pick<NetworkPart, 'from' | 'to'>,
): readonly ImageParameter[] {
  return parameters.filter(
    ({ role, subnetwork }) => role !== 'statistics' && subnetwork >= from && subnetwork < to,
  )
}

const isAuxiliary = (name: string): boolean => name.startsWith('auxiliary/')

function addLoss(forward: Graph, options: TrainingOptions): Graph {
  const b = graphBuilder(forward.name, forward)
  const targets = b.input('targets', [options.batch], 'int64')
  const losses = forward.outputs.flatMap(({ name }) => {
    if (name === 'logits') return [crossEntropy(b, b.value(name), targets, options)]
    if (!isAuxiliary(name)) return []
    const loss = crossEntropy(b, b.value(name), targets, options)
    return [b.node('Mul', [loss, b.constant([options.auxiliaryWeight], [])])]
  })
  const total = losses.reduce((sum, loss) => b.node('Add', [sum, loss]))
  return b.build([...forward.outputs, b.named(total, 'loss')])
}

/** -mean over the minibatch of sum over classes of target x log softmax(logits). */
function crossEntropy(
  b: Builder,
  logits: Handle,
  targets: Handle,
  { labelSmoothing }: TrainingOptions,
): Handle {
  const classes = Number(logits.shape[1])
  const low = labelSmoothing / classes
  const values = b.constant([low, low + 1 - labelSmoothing], [2])
  const attributes = { axis: integer(1) }
  const dtype = 'float32'
  const wanted = b.node('OneHot', [targets, b.integers([classes]), values], { attributes, dtype })
  const scores = b.node('Mul', [wanted, b.node('LogSoftmax', [logits], { attributes })])
  const sums = b.node('ReduceSum', [scores, b.integers([1])], {
    attributes: { keepdims: integer(0) },
  })
  return b.node('Neg', [b.node('ReduceMean', [sums], { attributes: { keepdims: integer(0) } })])
}
