// A network from its table: subnetworks of modules of layers, built whole or in parts, in either mode.
import { graphBuilder, type Handle } from '../builder.ts'
import { type Graph, GraphError } from '../graph.ts'
import type {
  ImageNetwork,
  ImageNetworkOptions,
  ImageParameter,
  Module,
  NetworkPart,
  Subnetwork,
} from './image-network.ts'
import { emptyAccount, type Layer, type LayerContext, type Style, withRates } from './layers.ts'

/** What a family of networks says of one of its members. */
export interface NetworkTable {
  readonly options: Required<ImageNetworkOptions>
  readonly style: Style
  readonly subnetworks: readonly SubnetworkRow[]
}

export interface SubnetworkRow {
  readonly name: string
  readonly modules: readonly ModuleRow[]
  /** A head on what comes out of the module of that name, while training. */
  readonly auxiliary?: { readonly after: string; readonly layer: Layer }
}

export interface ModuleRow {
  readonly name: string
  readonly layer: Layer
}

/** Below it some network has nothing left to pool. */
const SIZE_MIN = 32

export function networkOf(table: NetworkTable): ImageNetwork {
  const { options, subnetworks } = table
  if (!(options.size >= SIZE_MIN)) {
    const { network, size } = options
    throw new GraphError(
      `${network} takes images from ${SIZE_MIN} x ${SIZE_MIN}, not ${size} x ${size}`,
    )
  }
  const described = describe(table)
  return {
    options,
    subnetworks: described.subnetworks,
    parameters: described.parameters,
    forward(part) {
      const { from, to, batch, mode } = part
      if (mode === 'training' && batch === 'N') {
        throw new GraphError(
          `${options.network}: how large a minibatch is has to be known while training`,
        )
      }
      const isRange = Number.isInteger(from) && Number.isInteger(to)
      if (!isRange || from < 0 || to > subnetworks.length || from >= to) {
        const count = subnetworks.length
        throw new GraphError(
          `${options.network} has subnetworks 0 to ${count}, not ${from} to ${to}`,
        )
      }
      const shape = from === 0 ? imageShape(table) : described.subnetworks[from - 1]?.output
      return build(table, part, [batch, ...(shape ?? [])])
    },
  }
}

function build(
  table: NetworkTable,
  { from, to, mode }: NetworkPart,
  shape: readonly (number | 'N')[],
): Graph {
  const { options, style, subnetworks } = table
  const b = graphBuilder(`${options.network}/${mode}`)
  const account = emptyAccount()
  const context: LayerContext = { b, mode, style, prefix: '', account }
  const heads: Handle[] = []
  let x = b.input(from === 0 ? 'images' : 'activations', shape)
  subnetworks.forEach((subnetwork, index) => {
    if (index < from || index >= to) return
    for (const { name, layer } of subnetwork.modules) {
      x = layer(context, x)
      const { auxiliary } = subnetwork
      if (auxiliary?.after !== name || mode === 'evaluation' || !options.auxiliary) continue
      const number = auxiliariesBefore(table, index)
      heads.push(b.named(auxiliary.layer(context, x), `auxiliary/${number}`))
    }
  })
  const output = b.named(x, to === subnetworks.length ? 'logits' : 'outgoing')
  return withRates(b.build([output, ...heads, ...account.statistics]), account)
}

function auxiliariesBefore({ subnetworks }: NetworkTable, index: number): number {
  return subnetworks.slice(0, index).filter(({ auxiliary }) => auxiliary).length
}

/** Every module once, for one image, to see its shape and what it costs. */
function describe(table: NetworkTable): {
  readonly subnetworks: readonly Subnetwork[]
  readonly parameters: readonly ImageParameter[]
} {
  const { options, style } = table
  const b = graphBuilder(options.network)
  const parameters: ImageParameter[] = []
  let x = b.input('images', [1, ...imageShape(table)])
  const run = (
    layer: Layer,
    input: Handle,
    of: Pick<ImageParameter, 'subnetwork' | 'isAuxiliary'>,
  ) => {
    const account = emptyAccount()
    const output = layer({ b, mode: 'evaluation', style, prefix: '', account }, input)
    parameters.push(...account.declared.map((declared) => ({ ...declared, ...of })))
    const trained = account.declared.filter(({ role }) => role !== 'statistics')
    const count = trained.reduce((sum, { shape }) => sum + product(shape), 0)
    return { output, count, multiplyAdds: account.multiplyAdds }
  }
  const subnetworks = table.subnetworks.map((subnetwork, index): Subnetwork => {
    const modules = subnetwork.modules.map(({ name, layer }): Module => {
      const built = run(layer, x, { subnetwork: index, isAuxiliary: false })
      x = built.output
      const output = x.shape.slice(1) as readonly number[]
      const { auxiliary } = subnetwork
      if (auxiliary?.after === name && options.auxiliary) {
        run(auxiliary.layer, x, { subnetwork: index, isAuxiliary: true })
      }
      return { name, output, parameters: built.count, multiplyAdds: built.multiplyAdds }
    })
    return { name: subnetwork.name, modules, output: x.shape.slice(1) as readonly number[] }
  })
  return { subnetworks, parameters }
}

function imageShape({ options }: NetworkTable): readonly number[] {
  return [3, options.size, options.size]
}

const product = (shape: readonly number[]): number => shape.reduce((all, extent) => all * extent, 1)
