// ONNX Runtime, and the only file that imports it. A session runs one graph; `run` blocks its thread,
// so it belongs in a compute thread. Outputs named in `fetches` are written in place.
import { InferenceSession, listSupportedBackends, Tensor as OrtTensor } from 'onnxruntime-node'
import {
  alignedFloat32,
  bytesPerElement,
  type DType,
  elementCount,
  type Tensor,
} from '../protocol/tensor.ts'
import type { Graph } from './graph.ts'
import { encodeOnnx } from './onnx-file.ts'
import { unsharing } from './unshared.ts'

export interface Session {
  /** Every output that is not among `fetches` is newly allocated. Throws `SessionError`. */
  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches?: Readonly<Record<string, Tensor>>,
  ): Promise<Record<string, Tensor>>
}

export interface SessionOptions {
  /** Threads inside an operator: the cores this process may use. */
  readonly threads: number
  /** As ONNX Runtime names them: 'cpu', 'cuda', 'webgpu', 'coreml', 'dml'. */
  readonly provider?: string
}

export class SessionError extends Error {
  override readonly name = 'SessionError'
}

export async function openSession(
  model: Graph | Uint8Array,
  { threads, provider = 'cpu' }: SessionOptions,
): Promise<Session> {
  const bytes = model instanceof Uint8Array ? model : encodeOnnx(model)
  const name = model instanceof Uint8Array ? 'model' : model.name
  const session = await attempt(`${name}: cannot be opened`, () =>
    InferenceSession.create(bytes, {
      executionProviders: [provider],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      logSeverityLevel: 3,
    }),
  )
  const unshare = unsharing()
  return {
    async run(given, into = {}) {
      const { feeds, fetches, settle } = unshare(given, into)
      const unknown = Object.keys(fetches).find((output) => !session.outputNames.includes(output))
      if (unknown !== undefined) {
        throw new SessionError(`${name}: run failed: it has no output named ${unknown}`)
      }
      const wanted = Object.fromEntries(session.outputNames.map((output) => [output, null]))
      const outputs = await attempt(`${name}: run failed`, async () =>
        session.run(mapValues(feeds, toOrt), { ...wanted, ...mapValues(fetches, toOrtInPlace) }),
      )
      settle()
      return { ...mapValues(outputs, fromOrt), ...into }
    },
  }
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

async function attempt<T>(what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run()
  } catch (cause) {
    throw new SessionError(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause })
  }
}

function mapValues<A, B>(
  from: Readonly<Record<string, A>>,
  map: (value: A) => B,
): Record<string, B> {
  return Object.fromEntries(Object.entries(from).map(([key, value]) => [key, map(value)]))
}
