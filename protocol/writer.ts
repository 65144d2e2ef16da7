// Writes the part of a packet around its payloads as MessagePack: counts and addresses, one after the
// other, into memory that is used again. Payloads are the library's.

export class Writer {
  #bytes = new Uint8Array(4_096)
  /** The next byte. */
  #at = 0

  /** Begins anew behind so many bytes that are set later. */
  start(prefixBytes: number): void {
    this.#at = prefixBytes
  }

  /** A whole number from 0 to 2^53 - 1. */
  count(value: number): void {
    const bytes = this.#reserve(9)
    if (value < 0x80) {
      bytes[this.#at++] = value
    } else if (value < 0x1_0000) {
      bytes[this.#at++] = 0xcd
      this.#uint16(value)
    } else if (value < 2 ** 32) {
      bytes[this.#at++] = 0xce
      this.#uint32(value)
    } else {
      bytes[this.#at++] = 0xcf
      this.#uint32(Math.floor(value / 2 ** 32))
      this.#uint32(value % 2 ** 32)
    }
  }

  countOrNil(value: number | undefined): void {
    if (value === undefined) this.#reserve(1)[this.#at++] = 0xc0
    else this.count(value)
  }

  /** The head of a list whose elements come next. */
  list(length: number): void {
    const bytes = this.#reserve(5)
    if (length < 16) {
      bytes[this.#at++] = 0x90 | length
    } else {
      bytes[this.#at++] = 0xdd
      this.#uint32(length)
    }
  }

  text(text: string): void {
    const bytes = this.#reserve(5 + text.length)
    const start = this.#textHead(text.length)
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i)
      if (code >= 0x80) {
        this.#at = start
        return this.#encodedText(text)
      }
      bytes[this.#at++] = code
    }
  }

  append(part: Uint8Array): void {
    this.#reserve(part.byteLength).set(part, this.#at)
    this.#at += part.byteLength
  }

  finish(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at)
  }

  #encodedText(text: string): void {
    const encoded = textEncoder.encode(text)
    this.#reserve(5)
    this.#textHead(encoded.byteLength)
    this.append(encoded)
  }

  /** Where the head began. */
  #textHead(length: number): number {
    const start = this.#at
    if (length < 32) {
      this.#bytes[this.#at++] = 0xa0 | length
    } else {
      this.#bytes[this.#at++] = 0xdb
      this.#uint32(length)
    }
    return start
  }

  #uint16(value: number): void {
    this.#bytes[this.#at++] = value >> 8
    this.#bytes[this.#at++] = value
  }

  #uint32(value: number): void {
    this.#uint16(value >>> 16)
    this.#uint16(value & 0xffff)
  }

  #reserve(length: number): Uint8Array {
    const needed = this.#at + length
    if (needed > this.#bytes.byteLength) {
      const grown = new Uint8Array(2 * needed)
      grown.set(this.#bytes.subarray(0, this.#at))
      this.#bytes = grown
    }
    return this.#bytes
  }
}

const textEncoder = new TextEncoder()
