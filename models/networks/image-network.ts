// What an image network is to those who train, cut, describe and load it: a sequence of subnetworks, lowest
// first, and named parameters. How each is built stands in the tables of its family.
import type { Graph } from '../graph.ts'
import type { ParameterSpec } from '../parameters.ts'

export type NetworkName =
  | 'googlenet'
  | 'googlenet-bn'
  | 'googlenet-small'
  | 'inception-v3'
  | 'inception-v4'
  | 'inception-resnet-v1'
  | 'inception-resnet-v2'

export interface ImageNetworkOptions {
  readonly network: NetworkName
  /** Height and width of an image. */
  readonly size: number
  readonly classes: number
  /** Heads on intermediate outputs that exist only while training. Default: as published. */
  readonly auxiliary?: boolean
  /** Part of the features that is left out before the last layer. Default: as published. */
  readonly dropout?: number
}

export interface ImageNetwork {
  readonly options: Required<ImageNetworkOptions>
  /** Lowest first; between two neighbours the network may be cut. */
  readonly subnetworks: readonly Subnetwork[]
  /** In the order of the flat vector: by subnetwork, then as in the state_dict. */
  readonly parameters: readonly ImageParameter[]
  /** Throws `GraphError` where `from` and `to` are no range of subnetworks. */
  forward(part: NetworkPart): Graph
}

export interface Subnetwork {
  readonly name: string
  readonly modules: readonly Module[]
  /** Channels, height, width; the last subnetwork's is [classes]. */
  readonly output: readonly number[]
}

export interface Module {
  readonly name: string
  readonly output: readonly number[]
  /** Trained numbers, without auxiliary heads. */
  readonly parameters: number
  /** Of one image: convolutions and matrix products. */
  readonly multiplyAdds: number
}

/**
 * `decayed`: weights of convolutions and matrices; `free`: biases, and gains of normalisations;
 * `statistics`: running means and variances, which no gradient changes.
 */
export type ParameterRole = 'decayed' | 'free' | 'statistics'

export interface ImageParameter extends ParameterSpec {
  readonly role: ParameterRole
  /** Which subnetwork it belongs to. */
  readonly subnetwork: number
  readonly isAuxiliary: boolean
}

/**
 * The graph of the subnetworks `from` to `to` (exclusive).
 *
 * Inputs: `images` (batch x 3 x size x size, normalised) where `from` is 0, `activations` otherwise;
 * every parameter of the part by its name (statistics only for evaluation); while training also a
 * `dropout/NAME` mask (batch x features, 0 or 1 / kept) for each dropout, whose rate stands in the
 * metadata of the graph under the same name.
 *
 * Outputs: `logits` (batch x classes) where `to` is the end, otherwise `outgoing`: the next part's
 * `activations`. While training also `auxiliary/INDEX` (batch x classes) per auxiliary head of the part, and `statistics/NAME` for every
 * statistics parameter: this minibatch's mean or unbiased variance.
 */
export interface NetworkPart {
  readonly from: number
  readonly to: number
  readonly mode: 'training' | 'evaluation'
  /** A number while training; 'N' leaves it open. */
  readonly batch: number | 'N'
}
