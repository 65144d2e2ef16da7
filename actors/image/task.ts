// What the processes of an image run know in common. Plain data: it crosses the wire and is kept on disk.
import type { ImageNetwork, ImageNetworkOptions } from '../../models/networks/image-network.ts'
import { layoutOf, type ParameterLayout, type RoleSection } from '../../models/parameters.ts'

export interface ImageTask {
  /** Image stores, as `prepareImages` wrote them. */
  readonly train: string
  readonly test: string
  readonly seed: number
  readonly network: Required<ImageNetworkOptions>
  /** Images of a minibatch, and pieces that it goes through a pipeline in. */
  readonly batch: number
  readonly microBatches: number
  readonly labelSmoothing: number
  readonly auxiliaryWeight: number
  readonly augmentation: { readonly pad: number; readonly flip: boolean; readonly colour: number }
  /** Threads that ONNX Runtime may use in one process. */
  readonly threads: number
  /** What the network computes on; absent: the CPU. */
  readonly device?: string
}

export function imageLayout({ parameters }: ImageNetwork): ParameterLayout {
  return layoutOf(parameters)
}

/** What the flat vector is made of, for the shards. */
export function sectionsOf({ parameters }: ImageNetwork): RoleSection[] {
  return layoutOf(parameters).slices.map(({ length }, index) => ({
    role: parameters[index]?.role ?? 'decayed',
    length,
  }))
}
