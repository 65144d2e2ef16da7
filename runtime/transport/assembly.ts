// The receiving side of a packet that comes in pieces, one at a time. Nothing is believed before it has
// arrived: the room for the whole is made when a part of it is there, so a claim of 128 MiB costs its
// sender 16 MiB; and every byte is copied once.
import { Buffer } from 'node:buffer'
import { type Pieces, ProtocolError } from '../../protocol/codec.ts'

export interface Assembly {
  /** Bytes that have arrived of the packet being put together; 0 where there is none. */
  readonly offset: number
  /** Announced bytes are to come next. */
  readonly isExpecting: boolean
  /** Throws `ProtocolError` where these pieces are not the next ones. */
  expect(pieces: Pick<Pieces, 'at' | 'bytes' | 'total'>): void
  /** The next of the announced bytes; returns the packet with the last of them. */
  add(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined
  /** What was announced comes on another connection, announced again. */
  interrupt(): void
}

export function createAssembly(packetBytesMax: number): Assembly {
  let total = 0
  let offset = 0
  let expected = 0
  /** Those that have come before there was room. */
  let early: Uint8Array[] = []
  let room: Uint8Array<ArrayBuffer> | undefined

  function makeRoom(): Uint8Array<ArrayBuffer> {
    const { buffer, byteOffset } = Buffer.allocUnsafeSlow(total)
    const whole = new Uint8Array(buffer as ArrayBuffer, byteOffset, total)
    let at = 0
    for (const bytes of early) {
      whole.set(bytes, at)
      at += bytes.byteLength
    }
    early = []
    return whole
  }

  return {
    get offset() {
      return offset
    },
    get isExpecting() {
      return expected > 0
    },
    interrupt() {
      expected = 0
    },
    expect({ at, bytes, total: whole }) {
      if (whole > packetBytesMax) throw new ProtocolError('pieces of more than a packet')
      if (at !== offset) throw new ProtocolError(`pieces from ${at} on after ${offset}`)
      if (offset > 0 && whole !== total) throw new ProtocolError('pieces of another packet')
      if (bytes === 0 || at + bytes > whole) {
        throw new ProtocolError(`pieces of ${bytes} bytes in ${whole}`)
      }
      total = whole
      expected = bytes
    },
    add(bytes) {
      const { byteLength } = bytes
      if (byteLength === 0 || byteLength > expected) {
        throw new ProtocolError(`a piece of ${byteLength} bytes, where ${expected} are announced`)
      }
      if (room) room.set(bytes, offset)
      else early.push(bytes)
      expected -= byteLength
      offset += byteLength
      if (offset * CLAIM_FACTOR_MAX >= total) room ??= makeRoom()
      if (offset < total) return undefined
      const whole = room
      room = undefined
      total = offset = 0
      return whole
    },
  }
}

/** Room is made for at most so many times what has arrived. */
const CLAIM_FACTOR_MAX = 64
