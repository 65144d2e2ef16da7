// WebSocket frames (RFC 6455, section 5.2) as the dialling side writes and reads them. Messages in pieces
// are refused: neither Bun nor Deno sends any.

export const opcodes = { binary: 2, close: 8, ping: 9, pong: 10 } as const

export class FrameError extends Error {
  override readonly name = 'FrameError'
}

/**
 * What stands before the payload. A client has to mask; a key of zeros leaves the payload as it is, so it
 * need not be copied. (Keys protect proxies from what scripts of a web page send.)
 */
export function frameHead(opcode: number, payloadBytes: number): Uint8Array {
  const extended = payloadBytes < 126 ? 0 : payloadBytes < 65_536 ? 2 : 8
  const head = new Uint8Array(2 + extended + 4)
  const view = new DataView(head.buffer)
  head[0] = 0x80 | opcode
  head[1] = 0x80 | (extended === 0 ? payloadBytes : extended === 2 ? 126 : 127)
  if (extended === 2) view.setUint16(2, payloadBytes)
  if (extended === 8) view.setBigUint64(2, BigInt(payloadBytes))
  return head
}

export interface Frame {
  readonly opcode: number
  readonly payload: Uint8Array
}

export interface FrameReader {
  /** Where the next bytes are to be read into; never empty. */
  room(): Uint8Array
  /** So many bytes have been read into it. Throws `FrameError`; then nothing more may be read. */
  filled(bytes: number): readonly Frame[]
}

const BUFFER_BYTES = 64 << 10
const HEAD_BYTES_MAX = 10

/** Each payload has memory of its own; a large one is read where it stays. */
export function frameReader(payloadBytesMax: number): FrameReader {
  const buffer = new Uint8Array(BUFFER_BYTES)
  let start = 0
  let end = 0
  /** A frame whose end has not come. */
  let partial: { readonly opcode: number; readonly payload: Uint8Array; filled: number } | undefined

  /** Undefined where its head is not complete. */
  function takeHead(): { opcode: number; payloadBytes: number } | undefined {
    if (end - start < 2) return undefined
    const [first = 0, second = 0] = buffer.subarray(start, start + 2)
    const extended = { 126: 2, 127: 8 }[second & 0x7f] ?? 0
    if (end - start < 2 + extended) return undefined
    // The final piece, no extension, not masked.
    if ((first & 0xf0) !== 0x80 || second & 0x80) throw new FrameError('a frame that is not whole')
    const view = new DataView(buffer.buffer, start + 2)
    const payloadBytes =
      extended === 8
        ? Number(view.getBigUint64(0))
        : extended === 2
          ? view.getUint16(0)
          : second & 0x7f
    if (payloadBytes > payloadBytesMax) throw new FrameError(`a frame of ${payloadBytes} bytes`)
    start += 2 + extended
    return { opcode: first & 0x0f, payloadBytes }
  }

  function takeFrame(): Frame | undefined {
    const head = takeHead()
    if (!head) return undefined
    const payload = new Uint8Array(head.payloadBytes)
    const here = Math.min(end - start, head.payloadBytes)
    payload.set(buffer.subarray(start, start + here))
    start += here
    const frame = { opcode: head.opcode, payload }
    if (here === head.payloadBytes) return frame
    partial = { ...frame, filled: here }
    return undefined
  }

  return {
    room() {
      if (partial) return partial.payload.subarray(partial.filled)
      if (start === end) start = end = 0
      // What is left is less than a head.
      else if (buffer.byteLength - end < HEAD_BYTES_MAX) {
        buffer.copyWithin(0, start, end)
        end -= start
        start = 0
      }
      return buffer.subarray(end)
    },
    filled(bytes) {
      const frames: Frame[] = []
      if (partial) {
        partial.filled += bytes
        if (partial.filled < partial.payload.byteLength) return frames
        frames.push({ opcode: partial.opcode, payload: partial.payload })
        partial = undefined
        return frames
      }
      end += bytes
      for (let frame = takeFrame(); frame; frame = takeFrame()) frames.push(frame)
      return frames
    },
  }
}
