// What a payload will take on the wire, known before it is encoded: so that limits are told in the line
// that sends, and a link can count what waits.
import { formatAddress } from './address.ts'
import { limits } from './limits.ts'
import { ProtocolError } from './reader.ts'
import { isRef } from './schema.ts'

/**
 * About how many bytes a payload takes, never less than its blobs. Throws `ProtocolError` for what
 * cannot travel, so that the sender is told in the line that sends it.
 */
export function measureBytes(payload: unknown): number {
  measured.blobBytes = measured.blobs = measured.elements = 0
  const headerBytes = measureValue(payload, 0)
  const { blobBytes, blobs, elements } = measured
  if (blobs > limits.blobsMax) throw new ProtocolError(`${blobs} blobs: above blobsMax`)
  if (elements > limits.elementsMax - ELEMENTS_AROUND) {
    throw new ProtocolError(`${elements} values: above elementsMax, send large data as tensors`)
  }
  // Of text only the UTF-16 length is known, a third of what it may take.
  const room = limits.headerBytesMax - HEADER_BYTES_AROUND
  if (3 * headerBytes > room && measureExactly(payload) > room) {
    throw new ProtocolError(`a header above ${room} bytes: send large data as tensors`)
  }
  return headerBytes + blobBytes
}

const measured = { blobBytes: 0, blobs: 0, elements: 0, isExact: false }

function measureExactly(payload: unknown): number {
  measured.isExact = true
  try {
    return measureValue(payload, 0)
  } finally {
    measured.isExact = false
  }
}

function measureValue(value: unknown, depth: number): number {
  measured.elements += 1
  switch (typeof value) {
    case 'string':
      return measureText(value)
    case 'number':
      return 9
    case 'boolean':
    case 'undefined':
      return 1
    case 'object':
      return value === null ? 1 : measureObject(value, depth)
    default:
      throw new ProtocolError(`a ${typeof value} cannot be sent`)
  }
}

function measureObject(object: object, depth: number): number {
  if (depth > limits.depthMax - DEPTH_AROUND) {
    throw new ProtocolError(`nested deeper than ${limits.depthMax - DEPTH_AROUND}`)
  }
  let bytes = 5
  if (Array.isArray(object)) {
    for (const element of object) bytes += measureValue(element, depth + 1)
    return bytes
  }
  if (object instanceof Uint8Array) return measureBlob(object)
  if (isRef(object)) return measureAddress(formatAddress(object.address))
  refuseExotic(object)
  for (const key in object) {
    if (key === '__proto__') throw new ProtocolError('a key __proto__ cannot be sent')
    bytes += measureText(key) + measureValue(object[key as keyof typeof object], depth + 1)
    measured.elements += 1
  }
  return bytes
}

function measureBlob({ byteLength }: Uint8Array): number {
  if (byteLength < limits.blobBytesMin) return 3 + byteLength
  measured.blobs += 1
  measured.blobBytes += ALIGNMENT_BYTES + byteLength
  return 6
}

function measureAddress({ length }: string): number {
  if (3 * length > limits.addressBytesMax) throw new ProtocolError('an address this long')
  return 6 + length
}

function measureText(text: string): number {
  const { stringBytesMax } = limits
  if (3 * text.length <= stringBytesMax && !measured.isExact) return 5 + text.length
  const bytes = textEncoder.encode(text).byteLength
  if (bytes > stringBytesMax) {
    throw new ProtocolError(`text of more than ${stringBytesMax} bytes: send it as bytes`)
  }
  return 5 + bytes
}

/** Objects that MessagePack would turn into something else without a word. */
export function refuseExotic(object: object): void {
  if (Array.isArray(object)) return
  if (ArrayBuffer.isView(object)) {
    throw new ProtocolError('a typed array cannot be sent: send a tensor or a Uint8Array')
  }
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new ProtocolError(`a ${object.constructor?.name} cannot be sent: send plain data`)
  }
}

/** Room for what a packet adds to a payload, and to spare. */
const DEPTH_AROUND = 4
const ELEMENTS_AROUND = 64
const HEADER_BYTES_AROUND = 16_384
const ALIGNMENT_BYTES = 8

const textEncoder = new TextEncoder()
