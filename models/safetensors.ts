// safetensors files: 8 bytes of header length, a JSON header, then the data. Ours start each tensor at
// a multiple of 8 bytes, so that they can be viewed where they lie.
import { byteSize, bytesPerElement, type DType, type Tensor } from '../protocol/tensor.ts'

export class SafetensorsError extends Error {
  override readonly name = 'SafetensorsError'
}

const HEADER_BYTES_MAX = 100_000_000
const METADATA = '__metadata__'

const names: { readonly [D in DType]: string } = {
  float64: 'F64',
  float32: 'F32',
  float16: 'F16',
  int64: 'I64',
  int32: 'I32',
  int16: 'I16',
  int8: 'I8',
  uint8: 'U8',
  bool: 'BOOL',
}
const dtypes = new Map(Object.entries(names).map(([dtype, name]) => [name, dtype as DType]))

export function encodeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  // Widest elements first, so that every tensor is aligned without gaps, which readers refuse.
  const ordered = [...tensors].sort(
    ([, a], [, b]) => bytesPerElement[b.dtype] - bytesPerElement[a.dtype],
  )
  if (tensors.has(METADATA)) throw new SafetensorsError(`no tensor may be named ${METADATA}`)
  const header: [string, unknown][] = [[METADATA, metadata]]
  let end = 0
  for (const [name, { dtype, shape, bytes }] of ordered) {
    const offsets = [end, end + bytes.byteLength]
    header.push([name, { dtype: names[dtype], shape, data_offsets: offsets }])
    end += bytes.byteLength
  }
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(header)))
  const headerBytes = Math.ceil(json.byteLength / 8) * 8
  const file = new Uint8Array(8 + headerBytes + end)
  new DataView(file.buffer).setBigUint64(0, BigInt(headerBytes), true)
  file.fill(0x20, 8, 8 + headerBytes)
  file.set(json, 8)
  let at = 8 + headerBytes
  for (const [, { bytes }] of ordered) {
    file.set(bytes, at)
    at += bytes.byteLength
  }
  return file
}

/** Views into `file`. Throws `SafetensorsError` naming what is wrong. */
export function decodeSafetensors(file: Uint8Array): {
  tensors: Map<string, Tensor>
  metadata: Record<string, string>
} {
  if (file.byteLength < 8)
    throw new SafetensorsError('not a safetensors file: shorter than 8 bytes')
  const length = new DataView(file.buffer, file.byteOffset, 8).getBigUint64(0, true)
  if (length > HEADER_BYTES_MAX || Number(length) + 8 > file.byteLength) {
    throw new SafetensorsError(`a header of ${length} bytes does not fit the file`)
  }
  const header = parseHeader(file.subarray(8, 8 + Number(length)))
  const data = file.subarray(8 + Number(length))
  const { [METADATA]: metadata = {}, ...entries } = header
  if (!isTexts(metadata)) throw new SafetensorsError(`${METADATA} does not map texts to texts`)
  const tensors = new Map<string, Tensor>()
  const spans: [number, number][] = []
  for (const [name, entry] of Object.entries(entries)) {
    const { tensor, span } = readEntry(name, entry, data)
    tensors.set(name, tensor)
    spans.push(span)
  }
  checkSpans(spans, data.byteLength)
  return { tensors, metadata }
}

function isTexts(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every((text) => typeof text === 'string')
}

function parseHeader(json: Uint8Array): Record<string, unknown> {
  try {
    const header: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    if (typeof header === 'object' && header !== null && !Array.isArray(header)) {
      return header as Record<string, unknown>
    }
  } catch (cause) {
    throw new SafetensorsError('the header is not JSON', { cause })
  }
  throw new SafetensorsError('the header is not a JSON object')
}

function readEntry(
  name: string,
  entry: unknown,
  data: Uint8Array,
): { tensor: Tensor; span: [number, number] } {
  const {
    dtype: dtypeName,
    shape,
    data_offsets: offsets,
  } = (entry ?? {}) as Record<string, unknown>
  const dtype = dtypes.get(String(dtypeName))
  if (!dtype) throw new SafetensorsError(`tensor ${name}: unknown dtype ${dtypeName}`)
  const isCount = (value: unknown): value is number =>
    Number.isSafeInteger(value) && Number(value) >= 0
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw new SafetensorsError(`tensor ${name}: its shape is not a list of counts`)
  }
  const [start, end] = Array.isArray(offsets) ? (offsets as unknown[]) : []
  if (!isCount(start) || !isCount(end) || start > end || end > data.byteLength) {
    throw new SafetensorsError(`tensor ${name}: its offsets lie outside the data`)
  }
  if (end - start !== byteSize({ dtype, shape })) {
    throw new SafetensorsError(
      `tensor ${name}: ${end - start} bytes do not fill ${shape.join('x')} ${dtype}`,
    )
  }
  return { tensor: { dtype, shape, bytes: data.subarray(start, end) }, span: [start, end] }
}

function checkSpans(spans: [number, number][], dataBytes: number): void {
  let at = 0
  // An empty tensor lies before the one that starts at the same byte.
  for (const [start, end] of spans.sort(([a, aEnd], [b, bEnd]) => a - b || aEnd - bEnd)) {
    if (start !== at) throw new SafetensorsError(`tensors overlap or leave a gap at byte ${start}`)
    at = end
  }
  if (at !== dataBytes) throw new SafetensorsError(`${dataBytes - at} bytes belong to no tensor`)
}
