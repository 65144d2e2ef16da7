// The receiving side of a packet that comes in pieces, one at a time. Nothing is believed before it has
// arrived: the room for the whole is made when a part of it is there, so a claim of 128 MiB costs its
// sender 16 MiB; and every byte is copied once.
import { ProtocolError } from '../../protocol/codec.ts'

export interface Assembly {
  /** Bytes that have arrived of the packet being put together; 0 where there is none. */
  readonly offset: number
  /** Throws `ProtocolError` where this piece is not the next one. */
  expect(piece: PieceOf): void
  /** The announced bytes; returns the packet with its last piece. */
  add(bytes: Uint8Array): Uint8Array<ArrayBuffer> | undefined
}

export interface PieceOf {
  readonly at: number
  readonly bytes: number
  readonly total: number
}

export function createAssembly(packetBytesMax: number): Assembly {
  let total = 0
  let offset = 0
  let expected = 0
  /** Those that have come before there was room. */
  let early: Uint8Array[] = []
  let room: Uint8Array<ArrayBuffer> | undefined

  function makeRoom(): Uint8Array<ArrayBuffer> {
    const whole = new Uint8Array(total)
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
    expect(piece) {
      if (piece.total > packetBytesMax) throw new ProtocolError('pieces of more than a packet')
      if (piece.at !== offset) throw new ProtocolError(`a piece at ${piece.at} after ${offset}`)
      if (offset > 0 && piece.total !== total) throw new ProtocolError('pieces of another packet')
      if (piece.bytes === 0 || piece.at + piece.bytes > piece.total) {
        throw new ProtocolError(`a piece of ${piece.bytes} bytes in ${piece.total}`)
      }
      total = piece.total
      expected = piece.bytes
    },
    add(bytes) {
      if (bytes.byteLength !== expected) {
        throw new ProtocolError(`${bytes.byteLength} bytes, where ${expected} were announced`)
      }
      if (room) room.set(bytes, offset)
      else early.push(bytes)
      offset += expected
      if (offset * CLAIM_FACTOR_MAX >= total) room ??= makeRoom()
      if (offset < total) return undefined
      const whole = room
      room = undefined
      total = offset = expected = 0
      return whole
    },
  }
}

/** Room is made for at most so many times what has arrived. */
const CLAIM_FACTOR_MAX = 8
