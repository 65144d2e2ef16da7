// ONNX Runtime, and the only file that imports it. A session runs one graph on one device; `run` blocks
// its thread, so it belongs in a compute thread. Outputs named in `fetches` are written in place.
import { InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node'
import {
  alignedFloat32,
  bytesPerElement,
  type DType,
  elementCount,
  type Tensor,
} from '../protocol/tensor.ts'
import { graphBuilder } from './builder.ts'
import { DeviceError, failureOf, SessionError } from './device-faults.ts'
import { formatDevice, parseDevice, providerTable } from './devices.ts'
import type { Graph } from './graph.ts'
import { encodeOnnx } from './onnx-file.ts'
import { unsharing } from './unshared.ts'

export interface Session {
  /** As named; what it computes on. */
  readonly device: string
  /** Whether some of its nodes run on the CPU all the same: only where `cpuNodes` allows it. */
  readonly hasCpuNodes: boolean
  /**
   * Every output that is not among `fetches` is newly allocated. Throws `SessionError` where graph or
   * feeds are wrong, `DeviceError` where the device failed.
   */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>>
}

export interface SessionOptions {
  /** Threads inside an operator: the cores this process may use. */
  readonly threads: number
  /** 'cpu' (default), 'cuda:0', 'webgpu', ... */
  readonly device?: string
  /**
   * On another device than the CPU: 'refused' (default) opens only what runs there as a whole. 'allowed'
   * lets nodes that the device has no kernel for (shapes; LogSoftmax on WebGPU) run on the CPU; a device
   * that cannot even multiply matrices is refused all the same.
   */
  readonly cpuNodes?: 'refused' | 'allowed'
}

/** ONNX Runtime puts what a provider cannot do on the CPU, and says nothing, unless it is told otherwise. */
const NO_CPU_NODES = { session: { disable_cpu_ep_fallback: '1' } }
const CPU_NODES_REFUSED = /assigned to the default CPU EP/

/** Throws `SessionError`, `DeviceError`, `DeviceNameError`. */
export async function openSession(
  model: Graph | Uint8Array,
  { threads, device: wanted = 'cpu', cpuNodes = 'refused' }: SessionOptions,
): Promise<Session> {
  const bytes = model instanceof Uint8Array ? model : encodeOnnx(model)
  const name = model instanceof Uint8Array ? 'model' : model.name
  const parsed = parseDevice(wanted)
  const device = formatDevice(parsed)
  const { provider, index } = parsed
  const { isNumbered } = providerTable[provider]
  const create = (isWhole: boolean): Promise<InferenceSession> =>
    InferenceSession.create(bytes, {
      // Alone: of a list, the binding drops what is not there and goes on with the rest.
      executionProviders: [isNumbered ? { name: provider, deviceId: index } : provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      logSeverityLevel: isWhole && cpuNodes === 'allowed' ? 4 : 3,
      ...(isWhole && { extra: NO_CPU_NODES }),
    })
  const { session, hasCpuNodes } = await attempt(device, `${name}: cannot be opened`, async () => {
    if (provider === 'cpu') return { session: await create(false), hasCpuNodes: false }
    try {
      return { session: await create(true), hasCpuNodes: false }
    } catch (error) {
      const isRefused = error instanceof Error && CPU_NODES_REFUSED.test(error.message)
      if (!isRefused || cpuNodes === 'refused') throw error
      await openSession(productGraph(), { threads, device })
      return { session: await create(false), hasCpuNodes: true }
    }
  })
  const unshare = unsharing()
  return {
    device,
    hasCpuNodes,
    async run(given, into = {}) {
      const { feeds, fetches, settle } = unshare(given, into)
      const unknown = Object.keys(fetches).find((output) => !session.outputNames.includes(output))
      if (unknown !== undefined) {
        throw new SessionError(`${name}: run failed: it has no output named ${unknown}`)
      }
      const wanted = Object.fromEntries(session.outputNames.map((output) => [output, null]))
      const what = `${name}: run failed`
      // Feeds that are no tensors are nobody's fault but the caller's.
      const [inputs, places] = await attempt('cpu', what, async () => [
        mapValues(feeds, toOrt),
        { ...wanted, ...mapValues(fetches, toOrtInPlace) },
      ])
      const outputs = await attempt(device, what, () => session.run(inputs, places))
      settle()
      return { ...mapValues(outputs, fromOrt), ...into }
    },
  }
}

/** product = x · w · w, by both operators: the least that a device for training must be able to do. */
export function productGraph(): Graph {
  const b = graphBuilder('a product of matrices')
  const w = b.input('w', [2, 2])
  const once = b.node('MatMul', [b.input('x', ['N', 2]), w], { name: 'once' })
  return b.build([b.node('Gemm', [once, w], { name: 'product' })])
}

/** Providers of this installation, with whether they come with the package. */
export function providers(): readonly { readonly name: string; readonly bundled: boolean }[] {
  return listSupportedBackends()
}

const ortTypes: Partial<Record<DType, OrtTensor.Type>> = {
  float32: 'float32',
  float64: 'float64',
  int64: 'int64',
  int32: 'int32',
  uint8: 'uint8',
  int8: 'int8',
  bool: 'bool',
}

function toOrt({ dtype, shape, bytes }: Tensor): OrtTensor {
  const type = ortTypes[dtype]
  if (!type) throw new SessionError(`a ${dtype} tensor cannot be fed`)
  const { buffer, byteOffset } = bytes
  const count = elementCount(shape)
  if (dtype === 'float32') return new OrtTensor('float32', alignedFloat32(bytes), shape)
  const aligned = byteOffset % bytesPerElement[dtype] === 0 ? bytes : bytes.slice()
  switch (dtype) {
    case 'int64':
      return new OrtTensor(
        'int64',
        new BigInt64Array(aligned.buffer, aligned.byteOffset, count),
        shape,
      )
    case 'float64':
      return new OrtTensor(
        'float64',
        new Float64Array(aligned.buffer, aligned.byteOffset, count),
        shape,
      )
    case 'int32':
      return new OrtTensor(
        'int32',
        new Int32Array(aligned.buffer, aligned.byteOffset, count),
        shape,
      )
    case 'int8':
      return new OrtTensor('int8', new Int8Array(buffer, byteOffset, count), shape)
    default:
      return new OrtTensor(type as 'uint8', new Uint8Array(buffer, byteOffset, count), shape)
  }
}

function toOrtInPlace(tensor: Tensor): OrtTensor {
  if (tensor.bytes.byteOffset % bytesPerElement[tensor.dtype] !== 0) {
    throw new SessionError('an output cannot be written in place where its bytes are not aligned')
  }
  return toOrt(tensor)
}

function fromOrt({ type, dims, data }: OrtTensor): Tensor {
  const view = data as unknown as Float32Array
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  return { dtype: type as DType, shape: dims, bytes }
}

async function attempt<T>(device: string, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    throw cause instanceof DeviceError ? cause : failureOf(device, what, cause)
  }
}

function mapValues<A, B>(
  from: Readonly<Record<string, A>>,
  map: (value: A) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, map(value)]))
}
