// The image networks by name, and what is left of one for serving.
import { graphBuilder } from '../builder.ts'
import { type Graph, integer } from '../graph.ts'
import { type ParameterLayout, viewsOf } from '../parameters.ts'
import { googlenet, googlenetSmall } from './googlenet.ts'
import type { ImageNetwork, ImageNetworkOptions, NetworkName } from './image-network.ts'
import { inceptionResnet } from './inception-resnet.ts'
import { inceptionV3 } from './inception-v3.ts'
import { inceptionV4 } from './inception-v4.ts'
import { type NetworkTable, networkOf } from './network-of.ts'

interface NetworkRow {
  readonly table: (options: ImageNetworkOptions) => NetworkTable
  /** What the loss of an auxiliary head counts. */
  readonly auxiliaryWeight: number
  /** Images that it was published for. */
  readonly size: number
}

const networks: { readonly [Name in NetworkName]: NetworkRow } = {
  googlenet: { table: googlenet, auxiliaryWeight: 0.3, size: 224 },
  'googlenet-bn': { table: googlenet, auxiliaryWeight: 0.3, size: 224 },
  'googlenet-small': { table: googlenetSmall, auxiliaryWeight: 0, size: 32 },
  'inception-v3': { table: inceptionV3, auxiliaryWeight: 0.4, size: 299 },
  'inception-v4': { table: inceptionV4, auxiliaryWeight: 0, size: 299 },
  'inception-resnet-v1': { table: inceptionResnet, auxiliaryWeight: 0, size: 299 },
  'inception-resnet-v2': { table: inceptionResnet, auxiliaryWeight: 0, size: 299 },
}

export const networkNames = Object.keys(networks) as readonly NetworkName[]

/** Throws `GraphError` where the size is too small for the network. */
export function imageNetwork(options: ImageNetworkOptions): ImageNetwork {
  return networkOf(networks[options.network].table(options))
}

export function auxiliaryWeightOf(name: NetworkName): number {
  return networks[name].auxiliaryWeight
}

export function publishedSizeOf(name: NetworkName): number {
  return networks[name].size
}

/** `images` to `logits` and `probabilities`, with the parameters as constants. */
export function servingGraph(
  network: ImageNetwork,
  { layout, values }: { readonly layout: ParameterLayout; readonly values: Float32Array },
  metadata: Readonly<Record<string, string>>,
): Graph {
  const to = network.subnetworks.length
  const forward = network.forward({ from: 0, to, batch: 'N', mode: 'evaluation' })
  const b = graphBuilder(network.options.network, forward)
  const attributes = { axis: integer(1) }
  const probabilities = b.node('Softmax', [b.value('logits')], {
    attributes,
    name: 'probabilities',
  })
  const graph = b.build([b.value('logits'), probabilities], metadata)
  // Without the heads that exist only while training.
  const read = new Set(graph.inputs.map(({ name }) => name))
  const weights = Object.entries(viewsOf(layout, values)).filter(([name]) => read.has(name))
  return {
    ...graph,
    inputs: graph.inputs.filter(({ name }) => name === 'images'),
    initializers: new Map([...graph.initializers, ...weights]),
  }
}
