// The nouns that image networks are written in: pass-through convolutions, stacks, pooling stacks,
// concatenations, scaled residuals (US9911069B1, US11062181B2). A layer is a function from one value of a
// graph to the next; the context knows which graph is being built and keeps account of it.
import { type Builder, type Handle, knownCount } from '../builder.ts'
import { type Attributes, float, type Graph, integer, integers } from '../graph.ts'
import type { ParameterSpec } from '../parameters.ts'
import { elementCount, tensorOf } from '../../protocol/tensor.ts'
import type { NetworkPart, ParameterRole } from './image-network.ts'

export type Layer = (context: LayerContext, x: Handle) => Handle

export interface LayerContext {
  readonly b: Builder
  readonly mode: NetworkPart['mode']
  readonly style: Style
  /** `inception3a.branch1.`: stands before the names of parameters. */
  readonly prefix: string
  readonly account: Account
}

export interface Style {
  /** Batch normalisation after every convolution, which then has no bias. */
  readonly isNormalised: boolean
}

export interface Declared extends ParameterSpec {
  readonly role: ParameterRole
}

/** What building has seen so far. */
export interface Account {
  readonly declared: Declared[]
  multiplyAdds: number
  /** Outputs `statistics/NAME`. */
  readonly statistics: Handle[]
  /** Rates of the dropout masks, by the name of their input. */
  readonly dropout: Map<string, number>
}

/** 1e-3 in all of these networks: 1e-5, the default of frameworks, breaks every published checkpoint. */
const EPSILON = 1e-3

export interface ConvOptions {
  readonly kernel?: number | readonly [height: number, width: number]
  readonly stride?: number
  /** 'same': an odd kernel keeps the extent. */
  readonly pad?: 'valid' | 'same'
}

export const passThrough = (name: string, channels: number): Layer => conv(name, channels)

/** Convolution, normalisation where the style has it, rectifier; named as torchvision and timm do. */
export function conv(name: string, channels: number, options: ConvOptions = {}): Layer {
  return (context, x) => {
    const { style } = context
    const own = within(context, name)
    const y = convolve(within(own, 'conv'), x, { ...options, channels, bias: !style.isNormalised })
    return own.b.node('Relu', [style.isNormalised ? batchNorm(within(own, 'bn'), y) : y])
  }
}

/** One after the other. */
export function stack(...layers: readonly Layer[]): Layer {
  return (context, x) => layers.reduce((value, layer) => layer(context, value), x)
}

/** Names inside begin with this one. */
export function named(name: string, layer: Layer): Layer {
  return (context, x) => layer(within(context, name), x)
}

export interface PoolOptions {
  readonly kernel: number
  readonly stride: number
  readonly pad?: number
  readonly ceil?: boolean
}

export function maxPool({ kernel, stride, pad = 0, ceil = false }: PoolOptions): Layer {
  return ({ b }, x) =>
    b.node('MaxPool', [x], { attributes: poolAttributes({ kernel, stride, pad, ceil }) })
}

export function averagePool(options: PoolOptions & { readonly countsPadding: boolean }): Layer {
  const attributes = {
    ...poolAttributes(options),
    count_include_pad: integer(options.countsPadding ? 1 : 0),
  }
  return ({ b }, x) => b.node('AveragePool', [x], { attributes })
}

/** 3 x 3 averages, then a pass-through convolution. */
export function averagePoolingStack(
  name: string,
  channels: number,
  { countsPadding }: { readonly countsPadding: boolean },
): Layer {
  const pool = averagePool({ kernel: 3, stride: 1, pad: 1, countsPadding })
  return stack(pool, passThrough(name, channels))
}

/** 3 x 3 maxima, then a pass-through convolution. */
export function maxPoolingStack(name: string, channels: number): Layer {
  return stack(maxPool({ kernel: 3, stride: 1, pad: 1 }), passThrough(name, channels))
}

/** Groups that read the same value, joined along the channels. */
export function concat(...groups: readonly Layer[]): Layer {
  return (context, x) =>
    context.b.node(
      'Concat',
      groups.map((group) => group(context, x)),
      { attributes: { axis: integer(1) } },
    )
}

/** relu(x + scale * projection(group(x))): the projection has a bias and no normalisation. */
export function residualScale(
  group: Layer,
  options: { readonly name: string; readonly scale: number; readonly isLinear?: boolean },
): Layer {
  return (context, x) => {
    const { b } = context
    const channels = Number(x.shape[1])
    const projection = within(context, options.name)
    const change = convolve(projection, group(context, x), { channels, bias: true })
    const scaled = b.node('Mul', [change, b.constant([options.scale], [])])
    const sum = b.node('Add', [x, options.scale === 1 ? change : scaled])
    return options.isLinear ? sum : b.node('Relu', [sum])
  }
}

/** Across `size` channels, as GoogLeNet has it (Krizhevsky 2012, section 3.3; Caffe divides alpha by n). */
export const localResponse: Layer = ({ b }, x) =>
  b.node('LRN', [x], {
    attributes: { size: integer(5), alpha: float(1e-4), beta: float(0.75), bias: float(1) },
  })

/** N x C x H x W to N x C. */
export const globalAverage: Layer = ({ b }, x) => flatten(b, b.node('GlobalAveragePool', [x]))

export const flat: Layer = ({ b }, x) => flatten(b, x)

function flatten(b: Builder, x: Handle): Handle {
  const features = elementCount(x.shape.slice(1) as readonly number[])
  const [batch = 'N'] = x.shape
  return b.node('Reshape', [x, b.integers([0, features])], { shape: [batch, features] })
}

/** Means over windows that share the extent out evenly, as PyTorch's adaptive pool: two matrix products. */
export function adaptiveAverage(extent: number): Layer {
  return ({ b }, x) => {
    const means = (from: number, isTransposed: boolean): Handle => {
      const rows = Array.from({ length: extent }, (_, i) => {
        const [start, end] = [Math.floor((i * from) / extent), Math.ceil(((i + 1) * from) / extent)]
        return Array.from({ length: from }, (_, at) =>
          at >= start && at < end ? 1 / (end - start) : 0,
        )
      })
      if (!isTransposed) return b.constant(rows.flat(), [extent, from])
      const columns = Array.from({ length: from }, (_, at) => rows.map((row) => row[at] ?? 0))
      return b.constant(columns.flat(), [from, extent])
    }
    const [height, width] = x.shape.slice(2).map(Number)
    const across = b.node('MatMul', [x, means(width ?? 1, true)])
    return b.node('MatMul', [means(height ?? 1, false), across])
  }
}

export function linear(
  name: string,
  outputs: number,
  { deviation }: { readonly deviation: number },
): Layer {
  return (context, x) => {
    const inputs = Number(x.shape[1])
    const own = within(context, name)
    const weight = parameter(
      own,
      { name: 'weight', shape: [outputs, inputs], deviation },
      'decayed',
    )
    const bias = parameter(own, { name: 'bias', shape: [outputs], deviation: 0 }, 'free')
    context.account.multiplyAdds += inputs * outputs
    return context.b.node('Gemm', [x, weight, bias], { attributes: { transB: integer(1) } })
  }
}

export const relu: Layer = ({ b }, x) => b.node('Relu', [x])

/** While training: times a mask that the caller draws. */
export function dropout(name: string, rate: number): Layer {
  return ({ b, mode, account }, x) => {
    if (mode === 'evaluation' || rate === 0) return x
    const mask = `dropout/${name}`
    account.dropout.set(mask, rate)
    return b.node('Mul', [x, b.input(mask, x.shape)])
  }
}

export function within(context: LayerContext, name: string): LayerContext {
  return { ...context, prefix: `${context.prefix}${name}.` }
}

export function emptyAccount(): Account {
  return { declared: [], multiplyAdds: 0, statistics: [], dropout: new Map() }
}

/** With the dropout rates in its metadata, for whoever draws the masks. */
export function withRates(graph: Graph, { dropout: rates }: Account): Graph {
  const metadata = Object.fromEntries([...rates].map(([name, rate]) => [name, `${rate}`]))
  return rates.size > 0 ? { ...graph, metadata: { ...graph.metadata, ...metadata } } : graph
}

function convolve(
  context: LayerContext,
  x: Handle,
  options: ConvOptions & { readonly channels: number; readonly bias: boolean },
): Handle {
  const { kernel = 1, stride = 1, pad = 'valid', channels } = options
  const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel
  const inputs = Number(x.shape[1])
  const shape = [channels, inputs, height, width]
  // He et al. 2015, so that gradients keep their size (fan-out); without normalisation, activations (fan-in).
  const fan = height * width * (context.style.isNormalised ? channels : inputs)
  const weight = { name: 'weight', shape, deviation: Math.sqrt(2 / fan) }
  const inputsOf = [x, parameter(context, weight, 'decayed')]
  if (options.bias) {
    inputsOf.push(parameter(context, { name: 'bias', shape: [channels], deviation: 0 }, 'free'))
  }
  const [top, left] = pad === 'same' ? [(height - 1) / 2, (width - 1) / 2] : [0, 0]
  const attributes: Attributes = {
    kernel_shape: integers([height, width]),
    strides: integers([stride, stride]),
    pads: integers([top, left, top, left]),
  }
  const y = context.b.node('Conv', inputsOf, { attributes })
  const places = elementCount(y.shape.slice(2) as readonly number[])
  context.account.multiplyAdds += places * channels * inputs * height * width
  return y
}

function batchNorm(context: LayerContext, x: Handle): Handle {
  const { b, mode, prefix, account } = context
  const shape = [Number(x.shape[1])]
  const gain = parameter(context, { name: 'weight', shape, deviation: 0, mean: 1 }, 'free')
  const bias = parameter(context, { name: 'bias', shape, deviation: 0 }, 'free')
  const statistics = (name: string, mean: number) =>
    parameter(context, { name, shape, deviation: 0, mean }, 'statistics')
  const epsilon = float(EPSILON)
  if (mode === 'evaluation') {
    const running = [statistics('running_mean', 0), statistics('running_var', 1)]
    const inputs = [x, gain, bias, ...running]
    return b.node('BatchNormalization', inputs, { attributes: { epsilon } })
  }
  statistics('running_mean', 0)
  statistics('running_var', 1)
  // The operator writes into its running statistics, so no two may share them; and ONNX Runtime makes one of
  // constants of at most 8 elements that are equal. With momentum 0 it does not matter what they are.
  const place = 2 * account.statistics.length + 1
  const unread = (each: string, value: number) =>
    b.initializer(prefix + each, tensorOf(new Float32Array(shape[0] ?? 0).fill(value)))
  const former = [unread('former/mean', place), unread('former/variance', place + 1)]
  const [y, mean, variance] = b.nodes('BatchNormalization', [x, gain, bias, ...former], {
    attributes: { epsilon, training_mode: integer(1), momentum: float(0) },
    outputs: [`${prefix}normal`, `statistics/${prefix}running_mean`, `${prefix}variance`],
  })
  if (!y || !mean || !variance) return x
  const places = (knownCount(x.shape) ?? 0) / (shape[0] ?? 1)
  // Over one value there is no variance: the biased one, 0.
  const unbiased = b.constant([places > 1 ? places / (places - 1) : 1], [])
  const name = `statistics/${prefix}running_var`
  account.statistics.push(mean, b.node('Mul', [variance, unbiased], { name }))
  return y
}

function parameter(context: LayerContext, spec: ParameterSpec, role: ParameterRole): Handle {
  const { b, mode, prefix, account } = context
  const own: Declared = { ...spec, name: prefix + spec.name, role }
  account.declared.push(own)
  // While training a running statistic is not read.
  const isRead = role !== 'statistics' || mode === 'evaluation'
  const value = { name: own.name, dtype: 'float32', shape: own.shape } as const
  return isRead ? b.input(own.name, own.shape) : value
}

function poolAttributes({ kernel, stride, pad = 0, ceil = false }: PoolOptions): Attributes {
  return {
    kernel_shape: integers([kernel, kernel]),
    strides: integers([stride, stride]),
    pads: integers([pad, pad, pad, pad]),
    ceil_mode: integer(ceil ? 1 : 0),
  }
}
