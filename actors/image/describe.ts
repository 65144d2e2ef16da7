// What a network is made of, for people and for scripts.
import type { ImageNetworkOptions } from '../../models/networks/image-network.ts'
import { imageNetwork } from '../../models/networks/networks.ts'

export interface NetworkDescription {
  readonly network: string
  readonly size: number
  readonly classes: number
  /** Trained numbers, without the auxiliary heads. */
  readonly parameters: number
  readonly auxiliaryParameters: number
  /** Of one image, convolutions and matrix products, without the auxiliary heads. */
  readonly multiplyAdds: number
  readonly modules: readonly ModuleDescription[]
  /** Names of the subnetworks after which the network may be cut. */
  readonly cuts: readonly string[]
}

export interface ModuleDescription {
  readonly subnetwork: string
  readonly name: string
  /** Channels, height, width. */
  readonly output: readonly number[]
  readonly parameters: number
  readonly multiplyAdds: number
}

/** Throws `GraphError` where the size is too small for the network. */
export function describeNetwork(options: ImageNetworkOptions): NetworkDescription {
  const { subnetworks, parameters, options: filled } = imageNetwork(options)
  const modules = subnetworks.flatMap(({ name: subnetwork, modules }) =>
    modules.map((module) => ({ subnetwork, ...module })),
  )
  const sum = (of: 'parameters' | 'multiplyAdds') =>
    modules.reduce((total, module) => total + module[of], 0)
  const auxiliary = parameters.filter(
    ({ isAuxiliary, role }) => isAuxiliary && role !== 'statistics',
  )
  return {
    network: filled.network,
    size: filled.size,
    classes: filled.classes,
    parameters: sum('parameters'),
    auxiliaryParameters: auxiliary.reduce(
      (total, { shape }) => total + shape.reduce((product, extent) => product * extent, 1),
      0,
    ),
    multiplyAdds: sum('multiplyAdds'),
    modules,
    cuts: subnetworks.slice(0, -1).map(({ name }) => name),
  }
}
