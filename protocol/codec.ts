// Values and packets as bytes, and back. The only importer of MessagePack.
//
//   version u8 | header length u32 LE | header (MessagePack) | 0 to 7 zero bytes | blobs
//
// Bytes of 512 and more lie beside the header as blobs, each aligned to 8 bytes with zeros before it, so
// the receiver views a tensor where it landed. The header of a record is one value; that of a packet is
// a list of nine:
//
//   [stream, sequence, signals, messages, bulk, offset, texts, fields, payloads]
//   [3, sequence, signals, messages, bulk, offset, at, bytes, total]
//
// `stream` is 0 for signals, 1 for messages, 2 for bulk. `signals` to `offset` acknowledge (see
// `Position`). `texts` are addresses and W3C traces, each once; `fields` holds four of each envelope in turn:
// target, sender or nil, trace or nil as indexes into `texts`, and slot or nil. 3 announces pieces of a bulk packet of `total`
// bytes: its bytes `at` to `at + bytes` are the next WebSocket messages as they are, without a header, so
// that a tensor is sent from where it lies.
import { Encoder, ExtData, type ExtensionCodecType } from '@msgpack/msgpack'
import { type Address, formatAddress, parseAddress, type Ref } from './address.ts'
import type { Envelope, Lane } from './envelope.ts'
import { limits } from './limits.ts'
import { refuseExotic } from './measure.ts'
import { join, type Parts } from './parts.ts'
import { ProtocolError, Reader, textOf } from './reader.ts'
import { isRef, type Resolve } from './schema.ts'
import { Writer } from './writer.ts'

export { ProtocolError } from './reader.ts'

/**
 * Each numbers its packets from 1 and keeps their order. Messages above `pieceBytesMax`, and what must
 * stay behind them, form the bulk stream, whose packets may travel in pieces between the others'.
 */
export type Stream = 'signals' | 'messages' | 'bulk'

/** How far the streams of a session have arrived. Never goes back within a session. */
export interface Position {
  /** The last packet of each stream that has arrived. */
  readonly signals: number
  readonly messages: number
  readonly bulk: number
  /** Bytes of the bulk packet after that. */
  readonly offset: number
}

export type Packet = Batch | Pieces

interface Numbered {
  /** Position in its stream; 0 carries no envelopes that must arrive once. */
  readonly sequence: number
  readonly acknowledged: Position
}

export interface Batch extends Numbered {
  readonly type: 'batch'
  readonly stream: Stream
  readonly envelopes: readonly Envelope[]
}

/** Announces bytes of a bulk packet: the next WebSocket messages, up to so many bytes. */
export interface Pieces extends Numbered {
  readonly type: 'pieces'
  readonly at: number
  readonly bytes: number
  /** Of the whole packet. */
  readonly total: number
}

export const START: Position = { signals: 0, messages: 0, bulk: 0, offset: 0 }

type BatchOptions = Partial<Omit<Batch, 'type' | 'envelopes'>>

/** All envelopes are of the stream's lane. Throws `ProtocolError` for what cannot travel. */
export function encodePacket(
  envelopes: readonly Envelope[],
  options: BatchOptions = {},
): Uint8Array<ArrayBuffer> {
  return join(encodeParts(envelopes, options))
}

export function encodeParts(
  envelopes: readonly Envelope[],
  { stream = 'signals', sequence = 0, acknowledged = START }: BatchOptions = {},
): Parts {
  const texts = new Texts()
  const indexes: (number | undefined)[] = []
  for (const { target, sender, trace } of envelopes) {
    indexes.push(texts.addAddress(target), sender && texts.addAddress(sender))
    indexes.push(trace === undefined ? undefined : texts.addTrace(trace))
  }
  const blobs: Uint8Array[] = []
  const payloads = encodeHeader(
    envelopes.map(({ payload }) => payload),
    blobs,
  )
  startHeader(streams.indexOf(stream), sequence, acknowledged)
  writer.list(texts.list.length)
  for (const text of texts.list) writer.text(text)
  writer.list(ENVELOPE_FIELDS * envelopes.length)
  envelopes.forEach(({ slot }, index) => {
    for (let field = 0; field < 3; field++) writer.countOrNil(indexes[3 * index + field])
    writer.countOrNil(slot)
  })
  writer.append(payloads)
  return partsOf(writer.finish(), blobs)
}

export function encodePieces(pieces: Omit<Pieces, 'type'>): Uint8Array<ArrayBuffer> {
  startHeader(PIECES, pieces.sequence, pieces.acknowledged)
  writer.count(pieces.at)
  writer.count(pieces.bytes)
  writer.count(pieces.total)
  return join(partsOf(writer.finish(), []))
}

function startHeader(kind: number, sequence: number, acknowledged: Position): void {
  const { signals, messages, bulk, offset } = acknowledged
  writer.start(PREFIX_BYTES)
  writer.list(PACKET_FIELDS)
  for (const count of [kind, sequence, signals, messages, bulk, offset]) writer.count(count)
}

/** Throws `ProtocolError` only. Payloads stay opaque; refs in them are what `resolve` makes of addresses. */
export function decodePacket(bytes: Uint8Array, resolve: Resolve = asAddress): Packet {
  const reader = open(bytes, resolve)
  if (reader.listLength() !== PACKET_FIELDS) {
    throw new ProtocolError(`packet header: expected ${PACKET_FIELDS} fields`)
  }
  const kind = reader.count()
  const sequence = reader.count()
  const signals = reader.count()
  const messages = reader.count()
  const bulk = reader.count()
  const acknowledged = { signals, messages, bulk, offset: reader.count() }
  if (kind === PIECES) {
    const pieces = { at: reader.count(), bytes: reader.count(), total: reader.count() }
    reader.close()
    return { type: 'pieces', sequence, acknowledged, ...pieces }
  }
  const stream = streams[kind]
  if (stream === undefined) throw new ProtocolError(`packet header: no stream ${kind}`)
  const envelopes = readEnvelopes(reader, stream === 'signals' ? 'signal' : 'message')
  reader.close()
  return { type: 'batch', stream, sequence, acknowledged, envelopes }
}

function readEnvelopes(reader: Reader, lane: Lane): readonly Envelope[] {
  const texts: (Address | string)[] = []
  for (let left = reader.listLength(); left > 0; left--) {
    const text = reader.value(HEADER_DEPTH)
    const address = typeof text === 'string' ? parseAddress(text) : undefined
    if (!address && !isTraceparent(text)) {
      throw new ProtocolError('packet header: expected addresses and traces')
    }
    texts.push(address ?? (text as string))
  }
  const count = reader.listLength() / ENVELOPE_FIELDS
  if (!Number.isInteger(count)) throw new ProtocolError('envelopes: expected four fields of each')
  if (count > limits.envelopesMax) {
    throw new ProtocolError(`packet: more than ${limits.envelopesMax} envelopes`)
  }
  const envelopes: Draft[] = []
  for (let i = 0; i < count; i++) envelopes.push(readFields(reader, texts, lane))
  if (reader.listLength() !== count)
    throw new ProtocolError('envelopes: expected a payload of each')
  for (const envelope of envelopes) envelope.payload = reader.value(HEADER_DEPTH)
  return envelopes
}

function readFields(reader: Reader, texts: readonly (Address | string)[], lane: Lane): Draft {
  const target = texts[reader.count()]
  if (typeof target !== 'object') {
    throw new ProtocolError('envelope: an address that the packet does not list')
  }
  const envelope: Draft = { target, lane, payload: undefined }
  const senderIndex = reader.countOrNil()
  if (senderIndex !== undefined) {
    const sender = texts[senderIndex]
    if (typeof sender !== 'object') {
      throw new ProtocolError('envelope: a sender that the packet does not list')
    }
    envelope.sender = sender
  }
  const traceIndex = reader.countOrNil()
  if (traceIndex !== undefined) {
    const trace = texts[traceIndex]
    if (typeof trace !== 'string') {
      throw new ProtocolError('envelope: a trace that the packet does not list')
    }
    envelope.trace = trace
  }
  const slot = reader.countOrNil()
  if (slot !== undefined) envelope.slot = slot
  return envelope
}

/** W3C Trace Context: version, trace id, span id, flags. */
function isTraceparent(value: unknown): value is string {
  return typeof value === 'string' && /^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(value)
}

type Draft = { -readonly [Field in keyof Envelope]: Envelope[Field] }

/** One plain value; refs become addresses. The only copy of its tensors is the one into the result. */
export function encodeRecord(value: unknown): Uint8Array<ArrayBuffer> {
  const blobs: Uint8Array[] = []
  const header = encodeHeader(value, blobs)
  const head = new Uint8Array(PREFIX_BYTES + header.byteLength)
  head.set(header, PREFIX_BYTES)
  return join(partsOf(head, blobs))
}

/** Throws `ProtocolError` only. Blobs in the result are views into `bytes`, or into one aligned copy. */
export function decodeRecord(bytes: Uint8Array, resolve: Resolve = asAddress): unknown {
  const reader = open(bytes, resolve)
  const value = reader.value()
  reader.close()
  return value
}

/** `head` has room for the prefix before the header. */
function partsOf(head: Uint8Array<ArrayBuffer>, blobs: readonly Uint8Array[]): Parts {
  const headerBytes = head.byteLength - PREFIX_BYTES
  if (headerBytes > limits.headerBytesMax) {
    throw new ProtocolError(`a header of ${headerBytes} bytes: send large data as tensors`)
  }
  head[0] = VERSION
  head[1] = headerBytes
  head[2] = headerBytes >> 8
  head[3] = headerBytes >> 16
  head[4] = headerBytes >> 24
  if (blobs.length === 0) return { byteLength: head.byteLength, head, blobs: NONE, starts: NONE }
  let byteLength = head.byteLength
  const starts: number[] = []
  for (const blob of blobs) {
    starts.push(aligned(byteLength))
    byteLength = aligned(byteLength) + blob.byteLength
  }
  if (byteLength > limits.packetBytesMax) {
    throw new ProtocolError(`${byteLength} bytes: above packetBytesMax`)
  }
  return { byteLength, head, blobs, starts }
}

function open(bytes: Uint8Array, resolve: Resolve): PacketReader {
  if (bytes.byteLength > limits.packetBytesMax) throw new ProtocolError('above packetBytesMax')
  if (bytes.byteLength < PREFIX_BYTES) throw new ProtocolError('truncated before the header')
  if (bytes[0] !== VERSION) {
    throw new ProtocolError(`protocol version ${bytes[0]}: this member speaks ${VERSION}`)
  }
  const packet = bytes.byteOffset % ALIGNMENT === 0 ? bytes : bytes.slice()
  const headerBytes = uint32At(bytes, 1)
  const headerEnd = PREFIX_BYTES + headerBytes
  if (headerBytes > limits.headerBytesMax || headerEnd > packet.byteLength) {
    throw new ProtocolError(`a header of ${headerBytes} bytes in ${packet.byteLength}`)
  }
  return new PacketReader(packet, headerEnd, resolve)
}

class PacketReader extends Reader {
  readonly #packet: Uint8Array
  /** End of what has been referred to so far. */
  #blobAt: number
  readonly #resolve: Resolve

  constructor(packet: Uint8Array, headerEnd: number, resolve: Resolve) {
    super(packet, PREFIX_BYTES, headerEnd, limits)
    this.#packet = packet
    this.#blobAt = headerEnd
    this.#resolve = resolve
  }

  close(): void {
    this.finish()
    const left = this.#packet.byteLength - this.#blobAt
    if (left > 0) throw new ProtocolError(`${left} trailing bytes`)
  }

  protected override extension(type: number, bytes: Uint8Array, start: number, end: number) {
    if (type === BLOB_TYPE && end - start === 4) return this.#viewBlob(uint32At(bytes, start))
    if (type !== ADDRESS_TYPE) throw new ProtocolError(`unknown extension type ${type}`)
    const address = parseAddress(textOf(bytes, start, end))
    if (!address) throw new ProtocolError('an address that cannot be read')
    return this.#resolve(address)
  }

  // Blobs lie in the order in which the header names them, so a length is all that it needs to say.
  #viewBlob(length: number): Uint8Array {
    const packet = this.#packet
    const start = aligned(this.#blobAt)
    if (start + length > packet.byteLength) throw new ProtocolError('a blob beyond the packet')
    for (let at = this.#blobAt; at < start; at++) {
      if (packet[at] !== 0) throw new ProtocolError('padding that is not zero')
    }
    this.#blobAt = start + length
    return new Uint8Array(packet.buffer, packet.byteOffset + start, length)
  }
}

/** The addresses of one packet, each once. */
class Texts {
  readonly list: string[] = []
  #indexes: Map<string, number> | undefined
  #last: Address | undefined
  #lastIndex = 0
  #trace: string | undefined
  #traceIndex = 0

  /** Its index. */
  addAddress(address: Address): number {
    // The same ref told again and again is the same address object.
    if (address === this.#last) return this.#lastIndex
    this.#last = address
    this.#lastIndex = this.#find(formatAddress(address))
    return this.#lastIndex
  }

  addTrace(trace: string): number {
    if (trace === this.#trace) return this.#traceIndex
    this.#trace = trace
    this.#traceIndex = this.#find(trace)
    return this.#traceIndex
  }

  #find(text: string): number {
    const { list } = this
    const known = list.length <= FEW ? list.indexOf(text) : (this.#map().get(text) ?? -1)
    if (known >= 0) return known
    list.push(text)
    this.#indexes?.set(text, list.length - 1)
    return list.length - 1
  }

  #map(): Map<string, number> {
    this.#indexes ??= new Map(this.list.map((text, index) => [text, index]))
    return this.#indexes
  }
}

const VERSION = 1
const PREFIX_BYTES = 5
const ALIGNMENT = 8
const streams: readonly Stream[] = ['signals', 'messages', 'bulk']
/** In the place of a stream. */
const PIECES = 3
const PACKET_FIELDS = 9
const ENVELOPE_FIELDS = 4
const NONE: readonly never[] = []
/** Addresses that a walk finds sooner than a map. */
const FEW = 8
/** The lists around a payload. */
const HEADER_DEPTH = 2
const BLOB_TYPE = 1
const ADDRESS_TYPE = 2

const textEncoder = new TextEncoder()
const writer = new Writer()

// MessagePack hands the context of the call to the extension codec; one object, filled per call, spares
// building an encoder for every packet.
const writing: { blobs: Uint8Array[] } = { blobs: [] }
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

function encodeHeader(value: unknown, blobs: Uint8Array[]): Uint8Array {
  writing.blobs = blobs
  try {
    return encoder.encodeSharedRef(value)
  } catch (error) {
    throw asProtocolError(error)
  }
}

function appendBlob(blob: Uint8Array, blobs: Uint8Array[]): ExtData {
  if (blobs.length >= limits.blobsMax) throw new ProtocolError('above blobsMax')
  blobs.push(blob)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, blob.byteLength, true)
  return new ExtData(BLOB_TYPE, length)
}

function uint32At(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  )
}

function aligned(offset: number): number {
  return Math.ceil(offset / ALIGNMENT) * ALIGNMENT
}

function asProtocolError(error: unknown): ProtocolError {
  if (error instanceof ProtocolError) return error
  return new ProtocolError(error instanceof Error ? error.message : String(error), { cause: error })
}

function asAddress(address: Address): Ref<never> {
  // Where nobody resolves (journals, tools) an address stays an address; schemas accept both.
  return address as unknown as Ref<never>
}
