// Reads MessagePack in one walk that checks while it reads. The library's decoder allocates what a few
// hostile bytes claim, so it needed a walk before it, and the two took five times as long; a test holds
// this reader equal to it.

/** The bytes are not what this protocol allows; the connection they came from is closed. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

export interface ReaderLimits {
  readonly depthMax: number
  /** Values in the whole, counting every element and key. */
  readonly elementsMax: number
  readonly stringBytesMax: number
  /** Bytes from this length on lie elsewhere. */
  readonly blobBytesMin: number
  /** The longest extension. */
  readonly addressBytesMax: number
}

/** Every method throws `ProtocolError` where the bytes hold something else. */
export abstract class Reader {
  /** The next byte. */
  at: number
  readonly #bytes: Uint8Array
  readonly #end: number
  readonly #limits: ReaderLimits
  #elements = 0

  /** Reads from `start` to `end`. */
  constructor(bytes: Uint8Array, start: number, end: number, limits: ReaderLimits) {
    this.#bytes = bytes
    this.at = start
    this.#end = end
    this.#limits = limits
  }

  /** What an extension stands for; its data are `bytes` from `start` to `end`. */
  protected abstract extension(type: number, bytes: Uint8Array, start: number, end: number): unknown

  /** Any value; lists and maps grow as they are read, so a claim costs nothing. */
  value(depth = 0): unknown {
    const head = this.#uint8()
    if (head < 0x80) return head
    if (head < 0x90) return this.#map(head & 0x0f, depth)
    if (head < 0xa0) return this.#list(head & 0x0f, depth)
    if (head < 0xc0) return this.#text(head & 0x1f)
    if (head >= 0xe0) return head - 0x100
    switch (head) {
      case 0xc0:
        return null
      case 0xc2:
        return false
      case 0xc3:
        return true
      case 0xc4:
        return this.#binary(this.#uint8())
      case 0xc5:
        return this.#binary(this.#uint16())
      case 0xc6:
        return this.#binary(this.#uint32())
      case 0xc7:
        return this.#extension(this.#uint8())
      case 0xc8:
        return this.#extension(this.#uint16())
      case 0xc9:
        return this.#extension(this.#uint32())
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(1 << (head - 0xd4))
      case 0xd9:
        return this.#text(this.#uint8())
      case 0xda:
        return this.#text(this.#uint16())
      case 0xdb:
        return this.#text(this.#uint32())
      case 0xdc:
        return this.#list(this.#uint16(), depth)
      case 0xdd:
        return this.#list(this.#uint32(), depth)
      case 0xde:
        return this.#map(this.#uint16(), depth)
      case 0xdf:
        return this.#map(this.#uint32(), depth)
      default:
        return this.#number(head)
    }
  }

  /** The length of a list whose elements come next. */
  listLength(): number {
    const head = this.#uint8()
    if (head >= 0x90 && head < 0xa0) return this.#claim(head & 0x0f)
    if (head === 0xdc) return this.#claim(this.#uint16())
    if (head === 0xdd) return this.#claim(this.#uint32())
    return reject('expected a list')
  }

  /** A whole number from 0 to 2^53 - 1. */
  count(): number {
    const head = this.#uint8()
    const value = head < 0x80 ? head : this.#number(head)
    return Number.isSafeInteger(value) && value >= 0 ? value : reject('expected a count')
  }

  countOrNil(): number | undefined {
    if (this.#bytes[this.at] !== 0xc0 || this.at >= this.#end) return this.count()
    this.at += 1
    return undefined
  }

  finish(): void {
    if (this.at !== this.#end) reject(`${this.#end - this.at} trailing bytes`)
  }

  #list(length: number, depth: number): unknown[] {
    this.#enter(depth)
    this.#claim(length)
    const list: unknown[] = []
    for (let i = 0; i < length; i++) list.push(this.value(depth + 1))
    return list
  }

  #map(size: number, depth: number): Record<string, unknown> {
    this.#enter(depth)
    this.#claim(2 * size)
    const map: Record<string, unknown> = {}
    for (let i = 0; i < size; i++) {
      const key = this.#key()
      if (key === '__proto__') reject('the key __proto__')
      map[key] = this.value(depth + 1)
    }
    return map
  }

  #key(): string {
    const head = this.#uint8()
    if (head >= 0xa0 && head < 0xc0) return this.#text(head & 0x1f)
    if (head === 0xd9) return this.#text(this.#uint8())
    if (head === 0xda) return this.#text(this.#uint16())
    if (head === 0xdb) return this.#text(this.#uint32())
    return reject('a key that is no string')
  }

  #text(length: number): string {
    if (length > this.#limits.stringBytesMax) reject(`a string of ${length} bytes`)
    const start = this.#skip(length)
    return textOf(this.#bytes, start, start + length)
  }

  /** A copy: a few bytes that somebody keeps would keep their whole packet. */
  #binary(length: number): Uint8Array {
    if (length >= this.#limits.blobBytesMin) reject(`${length} bytes that are no blob`)
    const start = this.#skip(length)
    return this.#bytes.slice(start, start + length)
  }

  #extension(length: number): unknown {
    const type = this.#uint8()
    if (length > this.#limits.addressBytesMax) reject(`an extension of ${length} bytes`)
    const start = this.#skip(length)
    return this.extension(type, this.#bytes, start, start + length)
  }

  #number(head: number): number {
    switch (head) {
      case 0xca:
        return this.#scalar(4).getFloat32(0)
      case 0xcb:
        return this.#scalar(8).getFloat64(0)
      case 0xcc:
        return this.#uint8()
      case 0xcd:
        return this.#uint16()
      case 0xce:
        return this.#uint32()
      case 0xcf:
        return this.#uint32() * 2 ** 32 + this.#uint32()
      case 0xd0:
        return this.#scalar(1).getInt8(0)
      case 0xd1:
        return this.#scalar(2).getInt16(0)
      case 0xd2:
        return this.#scalar(4).getInt32(0)
      case 0xd3:
        return (this.#uint32() | 0) * 2 ** 32 + this.#uint32()
      default:
        return reject(`unknown type byte 0x${head.toString(16)}`)
    }
  }

  #uint8(): number {
    if (this.at >= this.#end) reject('truncated')
    return this.#bytes[this.at++]!
  }

  #uint16(): number {
    const at = this.#skip(2)
    return (this.#bytes[at]! << 8) | this.#bytes[at + 1]!
  }

  #uint32(): number {
    const at = this.#skip(4)
    const bytes = this.#bytes
    return (
      ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
    )
  }

  #scalar(length: number): DataView {
    const at = this.#skip(length)
    for (let i = 0; i < length; i++) scalarBytes[i] = this.#bytes[at + i]!
    return scalar
  }

  /** Where so many bytes begin. */
  #skip(length: number): number {
    const start = this.at
    if (length > this.#end - start) reject('truncated')
    this.at = start + length
    return start
  }

  /** Every element takes at least a byte. */
  #claim(elements: number): number {
    this.#elements += elements
    if (elements > this.#end - this.at) reject('more elements claimed than bytes are left')
    if (this.#elements > this.#limits.elementsMax) {
      reject(`more than ${this.#limits.elementsMax} elements`)
    }
    return elements
  }

  #enter(depth: number): void {
    if (depth >= this.#limits.depthMax) reject(`nested deeper than ${this.#limits.depthMax}`)
  }
}

/** Up to here a loop is faster than the decoder. */
const SHORT_BYTES = 24
/** A power of two. */
const KNOWN_TEXTS = 512

// Not `fatal`: half a surrogate pair in somebody's text is no reason to end a session.
const textDecoder = new TextDecoder('utf-8', { ignoreBOM: true })
const scalarBytes = new Uint8Array(8)
const scalar = new DataView(scalarBytes.buffer)

/** Keys and names come again and again: the last ASCII text of each hash. */
const knownTexts: string[] = new Array(KNOWN_TEXTS).fill('')

/** UTF-8 from `start` to `end`. */
export function textOf(bytes: Uint8Array, start: number, end: number): string {
  const length = end - start
  if (length > SHORT_BYTES) return textDecoder.decode(bytes.subarray(start, end))
  if (length === 0) return ''
  const hash = bytes[start]! + 31 * bytes[end - 1]! + 7 * bytes[(start + end) >> 1]! + 97 * length
  const known = knownTexts[hash & (KNOWN_TEXTS - 1)]!
  if (isText(known, bytes, start, length)) return known
  let text = ''
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte >= 0x80) return textDecoder.decode(bytes.subarray(start, end))
    text += String.fromCharCode(byte)
  }
  knownTexts[hash & (KNOWN_TEXTS - 1)] = text
  return text
}

function isText(text: string, bytes: Uint8Array, start: number, length: number): boolean {
  if (text.length !== length) return false
  for (let i = 0; i < length; i++) if (text.charCodeAt(i) !== bytes[start + i]) return false
  return true
}

function reject(problem: string): never {
  throw new ProtocolError(`MessagePack: ${problem}`)
}
