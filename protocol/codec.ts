// Values and envelopes as bytes, and back. The only importer of MessagePack.
//
//   version u8 | header length u32 LE | header (MessagePack) | 0 to 7 zero bytes | blobs
//
// Bytes of 512 and more lie beside the header as blobs, each aligned to 8 bytes with zeros before it, so
// the receiver views a tensor where it landed. A packet's header is
// [sequence, acknowledged, addresses, envelopes]: an address that many envelopes name is written once.
import { Decoder, Encoder, ExtData, type ExtensionCodecType } from '@msgpack/msgpack'
import { type Address, formatAddress, parseAddress, type Ref } from './address.ts'
import type { Envelope } from './envelope.ts'
import { limits } from './limits.ts'
import { isRef, type Resolve } from './schema.ts'
import { checkStructure, ProtocolError } from './structure.ts'

export { ProtocolError } from './structure.ts'

export interface Packet {
  /** Position in its session; 0 carries no envelopes that must arrive once. */
  readonly sequence: number
  /** Every packet up to this one has arrived. */
  readonly acknowledged: number
  readonly envelopes: readonly Envelope[]
}

export function encodePacket(
  envelopes: readonly Envelope[],
  { sequence = 0, acknowledged = 0 }: Partial<Omit<Packet, 'envelopes'>> = {},
): Uint8Array<ArrayBuffer> {
  const indexes = new Map<string, number>()
  const indexOf = (address: Address): number => {
    const text = formatAddress(address)
    const index = indexes.get(text) ?? indexes.size
    indexes.set(text, index)
    return index
  }
  const rows = envelopes.map(({ target, sender, lane, trace, slot, payload }) => [
    indexOf(target),
    sender ? indexOf(sender) : null,
    lane === 'signal' ? 0 : 1,
    trace ?? null,
    slot ?? null,
    payload,
  ])
  return encodeRecord([sequence, acknowledged, [...indexes.keys()], rows])
}

/** Throws `ProtocolError` only. Payloads stay opaque; refs in them are what `resolve` makes of addresses. */
export function decodePacket(bytes: Uint8Array, resolve: Resolve = asAddress): Packet {
  const header = decodeRecord(bytes, resolve)
  if (!isList(header, 4)) throw new ProtocolError('packet header: expected four fields')
  const [sequence, acknowledged, texts, rows] = header
  if (
    !isCount(sequence) ||
    !isCount(acknowledged) ||
    !Array.isArray(texts) ||
    !Array.isArray(rows)
  ) {
    throw new ProtocolError('packet header: expected sequence, acknowledged, addresses, envelopes')
  }
  if (rows.length > limits.envelopesMax) {
    throw new ProtocolError(`packet: more than ${limits.envelopesMax} envelopes`)
  }
  const addresses = texts.map((text) => {
    const address = typeof text === 'string' ? parseAddress(text) : undefined
    if (!address) throw new ProtocolError('packet header: expected addresses')
    return address
  })
  return {
    sequence,
    acknowledged,
    envelopes: rows.map((row: unknown) => decodeEnvelope(row, addresses)),
  }
}

function decodeEnvelope(row: unknown, addresses: readonly Address[]): Envelope {
  if (!isList(row, 6)) throw new ProtocolError('envelope: expected six fields')
  const [targetIndex, senderIndex, lane, trace, slot, payload] = row
  const target = addresses[targetIndex as number]
  const sender = senderIndex === null ? undefined : addresses[senderIndex as number]
  const isWhole =
    target !== undefined &&
    (senderIndex === null || sender !== undefined) &&
    (lane === 0 || lane === 1) &&
    (trace === null || isTraceparent(trace)) &&
    (slot === null || isCount(slot))
  if (!isWhole) throw new ProtocolError('envelope: a field is out of range')
  return {
    target,
    ...(sender && { sender }),
    lane: lane === 0 ? 'signal' : 'message',
    ...(trace !== null && { trace }),
    ...(slot !== null && { slot }),
    payload,
  }
}

/** One plain value; refs become addresses. The only copy of its tensors is the one into the result. */
export function encodeRecord(value: unknown): Uint8Array<ArrayBuffer> {
  const blobs: Blobs = { list: [], bytes: 0 }
  const header = encodeHeader(value, blobs)
  if (header.byteLength > limits.headerBytesMax) {
    throw new ProtocolError(`a header of ${header.byteLength} bytes: send large data as tensors`)
  }
  const area = blobs.list.length === 0 ? PREFIX_BYTES + header.byteLength : blobArea(header)
  if (area + blobs.bytes > limits.packetBytesMax) {
    throw new ProtocolError(`${area + blobs.bytes} bytes: above packetBytesMax`)
  }
  const packet = new Uint8Array(area + blobs.bytes)
  packet[0] = VERSION
  new DataView(packet.buffer).setUint32(1, header.byteLength, true)
  packet.set(header, PREFIX_BYTES)
  let at = area
  for (const blob of blobs.list) {
    at = aligned(at)
    packet.set(blob, at)
    at += blob.byteLength
  }
  return packet
}

/** Throws `ProtocolError` only. Bytes in the result are views into `bytes`, or into one aligned copy. */
export function decodeRecord(bytes: Uint8Array, resolve: Resolve = asAddress): unknown {
  if (bytes.byteLength > limits.packetBytesMax) throw new ProtocolError('above packetBytesMax')
  if (bytes.byteLength < PREFIX_BYTES) throw new ProtocolError('truncated before the header')
  if (bytes[0] !== VERSION) {
    throw new ProtocolError(`protocol version ${bytes[0]}: this member speaks ${VERSION}`)
  }
  const packet = bytes.byteOffset % ALIGNMENT === 0 ? bytes : bytes.slice()
  const headerBytes = new DataView(packet.buffer, packet.byteOffset).getUint32(1, true)
  const headerEnd = PREFIX_BYTES + headerBytes
  if (headerBytes > limits.headerBytesMax || headerEnd > packet.byteLength) {
    throw new ProtocolError(`a header of ${headerBytes} bytes in ${packet.byteLength}`)
  }
  const header = packet.subarray(PREFIX_BYTES, headerEnd)
  checkStructure(header, limits)
  const reading: Reading = { packet, at: headerEnd, resolve }
  const value = decodeHeader(header, reading)
  if (reading.at !== packet.byteLength) {
    throw new ProtocolError(`${packet.byteLength - reading.at} trailing bytes`)
  }
  return value
}

/**
 * About how many bytes a payload takes, never less than its blobs. Throws `ProtocolError` for what
 * cannot travel, so that the sender is told in the line that sends it.
 */
export function measureBytes(payload: unknown, depth = 0): number {
  if (depth > limits.depthMax - HEADER_DEPTH) {
    throw new ProtocolError(`nested deeper than ${limits.depthMax - HEADER_DEPTH}`)
  }
  switch (typeof payload) {
    case 'string':
      return 5 + payload.length
    case 'number':
      return 9
    case 'boolean':
    case 'undefined':
      return 1
    case 'object':
      break
    default:
      throw new ProtocolError(`a ${typeof payload} cannot be sent`)
  }
  if (payload === null) return 1
  if (payload instanceof Uint8Array) return ALIGNMENT + payload.byteLength
  if (isRef(payload)) return 64
  refuseExotic(payload)
  let bytes = 5
  if (Array.isArray(payload)) {
    for (const element of payload) bytes += measureBytes(element, depth + 1)
  } else {
    for (const key in payload) {
      bytes += 5 + key.length + measureBytes(payload[key as keyof typeof payload], depth + 1)
    }
  }
  return bytes
}

const VERSION = 1
const PREFIX_BYTES = 5
const ALIGNMENT = 8
/** The lists around a payload. */
const HEADER_DEPTH = 4
const BLOB_TYPE = 1
const ADDRESS_TYPE = 2

interface Blobs {
  readonly list: Uint8Array[]
  /** From the start of the blob area, paddings included. */
  bytes: number
}

interface Reading {
  readonly packet: Uint8Array
  /** End of what has been referred to so far. */
  at: number
  readonly resolve: Resolve
}

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder('utf-8', { fatal: true })

// MessagePack hands the context of the call to the extension codec; one object each, filled per call,
// spares building an encoder for every packet.
const writing: { blobs: Blobs } = { blobs: { list: [], bytes: 0 } }
const encoding: ExtensionCodecType<typeof writing> = {
  tryToEncode(object, { blobs }) {
    if (object instanceof Uint8Array) {
      return object.byteLength < limits.blobBytesMin ? null : appendBlob(object, blobs)
    }
    if (isRef(object)) {
      return new ExtData(ADDRESS_TYPE, textEncoder.encode(formatAddress(object.address)))
    }
    refuseExotic(object as object)
    return null
  },
  decode: () => {
    throw new ProtocolError('an encoder does not decode')
  },
}
const encoder = new Encoder({
  extensionCodec: encoding,
  context: writing,
  ignoreUndefined: true,
  maxDepth: limits.depthMax,
})

const current: { reading: Reading | undefined } = { reading: undefined }
const decoding: ExtensionCodecType<typeof current> = {
  tryToEncode: () => null,
  decode(data, type, { reading }) {
    if (reading === undefined) throw new ProtocolError('an extension outside of a packet')
    if (type === BLOB_TYPE) return viewBlob(data, reading)
    if (type !== ADDRESS_TYPE) throw new ProtocolError(`unknown extension type ${type}`)
    const address = parseAddress(textDecoder.decode(data))
    if (!address) throw new ProtocolError('an address that cannot be read')
    return reading.resolve(address)
  },
}
const decoder = new Decoder({
  extensionCodec: decoding,
  context: current,
  maxStrLength: limits.stringBytesMax,
  maxBinLength: limits.blobBytesMin,
  maxExtLength: 4_096,
})

function encodeHeader(value: unknown, blobs: Blobs): Uint8Array {
  writing.blobs = blobs
  try {
    return encoder.encodeSharedRef(value)
  } catch (error) {
    throw asProtocolError(error)
  }
}

function decodeHeader(header: Uint8Array, reading: Reading): unknown {
  current.reading = reading
  try {
    return decoder.decode(header)
  } catch (error) {
    throw asProtocolError(error)
  } finally {
    current.reading = undefined
  }
}

function appendBlob(blob: Uint8Array, blobs: Blobs): ExtData {
  if (blobs.list.length >= limits.blobsMax) throw new ProtocolError('above blobsMax')
  blobs.bytes = aligned(blobs.bytes) + blob.byteLength
  blobs.list.push(blob)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, blob.byteLength, true)
  return new ExtData(BLOB_TYPE, length)
}

// Blobs lie in the order in which the header names them, so a length is all that it needs to say.
function viewBlob(data: Uint8Array, reading: Reading): Uint8Array {
  if (data.byteLength !== 4) throw new ProtocolError('a blob length of four bytes')
  const length = new DataView(data.buffer, data.byteOffset).getUint32(0, true)
  const { packet } = reading
  const start = aligned(reading.at)
  if (start + length > packet.byteLength) throw new ProtocolError('a blob beyond the packet')
  for (let at = reading.at; at < start; at++) {
    if (packet[at] !== 0) throw new ProtocolError('padding that is not zero')
  }
  reading.at = start + length
  return new Uint8Array(packet.buffer, packet.byteOffset + start, length)
}

function blobArea(header: Uint8Array): number {
  return aligned(PREFIX_BYTES + header.byteLength)
}

function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT
}

/** Objects that MessagePack would turn into something else without a word. */
function refuseExotic(object: object): void {
  if (Array.isArray(object)) return
  if (ArrayBuffer.isView(object)) {
    throw new ProtocolError('a typed array cannot be sent: send a tensor or a Uint8Array')
  }
  const prototype: unknown = Object.getPrototypeOf(object)
  if (prototype !== Object.prototype && prototype !== null) {
    throw new ProtocolError(`a ${object.constructor?.name} cannot be sent: send plain data`)
  }
}

function asProtocolError(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error
  return new ProtocolError(error instanceof Error ? error.message : String(error), { cause: error })
}

function asAddress(address: Address): Ref<never> {
  // Where nobody resolves (journals, tools) an address stays an address; schemas accept both.
  return address as unknown as Ref<never>
}

/** W3C Trace Context: version, trace id, span id, flags. */
function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value)
}

function isList(value: unknown, length: number): value is unknown[] {
  return Array.isArray(value) && value.length === length
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}
