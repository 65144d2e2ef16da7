// A small image network of three subnetworks with everything that a pipeline must carry: batch
// normalisation, an auxiliary head in the middle, dropout at the end.
import {
  type Builder,
  graphBuilder,
  type Handle,
  integer,
  integers,
} from '../../../models/builder.ts'
import { type Graph, GraphError } from '../../../models/graph.ts'
import type {
  ImageNetwork,
  ImageParameter,
  NetworkPart,
} from '../../../models/networks/image-network.ts'

export const SIZE = 8
export const CLASSES = 3
const CHANNELS = [3, 6, 5, 4] as const

export function tinyNetwork(): ImageNetwork {
  const options = {
    network: 'googlenet-small',
    size: SIZE,
    classes: CLASSES,
    auxiliary: true,
    dropout: 0.5,
  } as const
  const parameters = [0, 1, 2].flatMap(parametersOf)
  return {
    options,
    subnetworks: [0, 1, 2].map((index) => ({
      name: `block${index}`,
      modules: [
        {
          name: `block${index}`,
          output: [CHANNELS[index + 1]!, SIZE, SIZE],
          parameters: 0,
          multiplyAdds: 9 * CHANNELS[index]! * CHANNELS[index + 1]! * SIZE ** 2,
        },
      ],
      output: index === 2 ? [CLASSES] : [CHANNELS[index + 1]!, SIZE, SIZE],
    })),
    parameters,
    forward: (part) => forwardOf(parameters, part),
  }
}

function parametersOf(subnetwork: number): ImageParameter[] {
  const [before, after] = [CHANNELS[subnetwork]!, CHANNELS[subnetwork + 1]!]
  const parameter = (
    name: string,
    shape: readonly number[],
    { role = 'free', deviation = 0, mean = 0, isAuxiliary = false }: Partial<ImageParameter> = {},
  ): ImageParameter => ({ name, shape, role, deviation, mean, subnetwork, isAuxiliary })
  const own = [
    parameter(`${subnetwork}.weight`, [after, before, 3, 3], { role: 'decayed', deviation: 0.3 }),
    parameter(`${subnetwork}.gain`, [after], { mean: 1 }),
    parameter(`${subnetwork}.bias`, [after]),
    parameter(`${subnetwork}.mean`, [after], { role: 'statistics' }),
    parameter(`${subnetwork}.variance`, [after], { role: 'statistics', mean: 1 }),
  ]
  const matrix = [CLASSES, after] as const
  const head = { role: 'decayed', deviation: 0.5 } as const
  if (subnetwork === 1) own.push(parameter('aux.weight', matrix, { ...head, isAuxiliary: true }))
  if (subnetwork === 2) own.push(parameter('fc.weight', matrix, head))
  return own
}

function forwardOf(parameters: readonly ImageParameter[], part: NetworkPart): Graph {
  const { from, to, batch } = part
  if (from < 0 || from >= to || to > 3) throw new GraphError(`${from} to ${to} are no subnetworks`)
  const b = graphBuilder(`tiny/${from}-${to}`)
  const shape = [batch, CHANNELS[from]!, SIZE, SIZE]
  let x = b.input(from === 0 ? 'images' : 'activations', shape)
  const isStatistics = ({ role }: ImageParameter): boolean => role === 'statistics'
  for (const each of parameters) {
    const isOwn = each.subnetwork >= from && each.subnetwork < to
    if (isOwn && !isStatistics(each)) b.input(each.name, each.shape)
  }
  const outputs: Handle[] = []
  for (let index = from; index < to; index++) {
    x = block(b, x, { index, outputs, name: index === to - 1 && to < 3 ? 'outgoing' : undefined })
    if (index === 1) outputs.push(b.named(headOf(b, x, 'aux.weight'), 'auxiliary/0'))
  }
  if (to < 3) return b.build([x, ...outputs])
  const mask = b.input('dropout/fc', [batch, CHANNELS[3]])
  outputs.push(b.named(headOf(b, x, 'fc.weight', mask), 'logits'))
  return b.build(outputs, { 'dropout/fc': '0.5' })
}

/** Convolution, normalisation over the minibatch, relu. */
function block(
  b: Builder,
  x: Handle,
  { index, outputs, name }: { index: number; outputs: Handle[]; name: string | undefined },
): Handle {
  const pads = integers([1, 1, 1, 1])
  const made = b.node('Conv', [x, b.value(`${index}.weight`)], { attributes: { pads } })
  const mean = meanOf(b, made)
  const centred = b.node('Sub', [made, mean])
  const variance = meanOf(b, b.node('Mul', [centred, centred]))
  const deviation = b.node('Sqrt', [b.node('Add', [variance, b.constant([1e-3], [])])])
  const flat = (value: Handle): Handle => b.node('Reshape', [value, b.integers([-1])])
  outputs.push(b.named(flat(mean), `statistics/${index}.mean`))
  outputs.push(b.named(flat(variance), `statistics/${index}.variance`))
  const column = (parameter: string): Handle =>
    b.node('Reshape', [b.value(`${index}.${parameter}`), b.integers([1, -1, 1, 1])])
  const scaled = b.node('Mul', [b.node('Div', [centred, deviation]), column('gain')])
  return b.node('Relu', [b.node('Add', [scaled, column('bias')])], name ? { name } : {})
}

function meanOf(b: Builder, x: Handle): Handle {
  return b.node('ReduceMean', [x], { attributes: { axes: integers([0, 2, 3]) } })
}

function headOf(b: Builder, x: Handle, weight: string, mask?: Handle): Handle {
  const attributes = { axes: integers([2, 3]), keepdims: integer(0) }
  const features = b.node('ReduceMean', [x], { attributes })
  const kept = mask ? b.node('Mul', [features, mask]) : features
  return b.node('Gemm', [kept, b.value(weight)], { attributes: { transB: integer(1) } })
}
