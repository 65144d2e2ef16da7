// The dialling side on Deno, over a plain socket: Deno's WebSocket class leaves Nagle's algorithm on, and
// with it the second of two small messages waits 40 ms. (Seen with 2.9.6; there is no option for it.)
import { limits } from '../../protocol/limits.ts'
import type { Clock } from '../environment.ts'
import { type Connection, type ConnectionEvents, closeReason } from './connection.ts'
import type { DenoApi, DenoSocket } from './deno-api.ts'
import { type Frame, FrameError, frameHead, frameReader, opcodes } from './frames.ts'

/** Above it the connection says `full`. */
const BUFFERED_BYTES_MAX = 8 << 20
/** Frames up to this size share a write. */
const SHARED_WRITE_BYTES = 64 << 10
/** For what is still to be sent, and for the other side's answer, after a close. */
const CLOSE_MS_MAX = 1_000
const ANSWER_BYTES_MAX = 16_384

// It shows that the other side speaks WebSocket; nothing secret hangs on it (RFC 6455, section 1.3).
const KEY = 'dGhlIHNhbXBsZSBub25jZQ=='
const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='

/** `url` begins with ws:. */
export function dialOnDeno(
  deno: DenoApi,
  clock: Clock,
  url: URL,
  events: ConnectionEvents,
): Connection {
  const queue: Uint8Array[] = []
  let queuedBytes = 0
  let socket: DenoSocket | undefined
  let isOpen = false
  let isWriting = false
  let isWaiting = false
  let isClosed = false
  let stopClock: (() => void) | undefined

  const closed = (reason: string): void => {
    if (isClosed) return
    isClosed = true
    events.closed(reason)
  }
  const release = (): void => {
    stopClock?.()
    queue.length = 0
    const last = socket
    socket = undefined
    last?.close()
  }
  const fail = (reason: string): void => {
    closed(reason)
    release()
  }

  function enqueue(opcode: number, payload: Uint8Array): void {
    const head = frameHead(opcode, payload.byteLength)
    queue.push(head, payload)
    queuedBytes += head.byteLength + payload.byteLength
    if (isWriting) return
    isWriting = true
    // What is sent in one turn shares a write.
    queueMicrotask(writeAll)
  }

  async function writeAll(): Promise<void> {
    for (let bytes = nextWrite(queue); bytes && socket; bytes = nextWrite(queue)) {
      for (let written = 0; written < bytes.byteLength && socket; ) {
        const count = await attempt(socket.write(bytes.subarray(written)))
        if (typeof count === 'string') return fail(count)
        written += count
        queuedBytes -= count
      }
      if (!isWaiting || isClosed || queuedBytes > BUFFERED_BYTES_MAX) continue
      isWaiting = false
      events.drained()
    }
    isWriting = false
  }

  /** Ends an open connection in order; what was sent before still goes. */
  function close(code: number, reason: string): void {
    closed(reason)
    if (!isOpen) return release()
    if (stopClock) return
    const text = new TextEncoder().encode(closeReason(reason))
    enqueue(opcodes.close, Uint8Array.of(code >> 8, code & 0xff, ...text))
    stopClock = clock.after(CLOSE_MS_MAX, release)
  }

  async function run(): Promise<void> {
    const hostname = url.hostname.replace(/^\[|\]$/g, '')
    const opened = await attempt(deno.connect({ hostname, port: Number(url.port || 80) }))
    if (typeof opened === 'string') return closed(opened)
    socket = opened
    if (isClosed) return release()
    opened.setNoDelay(true)
    const reader = frameReader(limits.socketMessageBytesMax)
    const refusal = await attempt(shakeHands(opened, url))
    if (refusal !== undefined) return fail(refusal)
    if (isClosed) return release()
    isOpen = true
    events.opened()
    while (socket) {
      const count = await attempt(opened.read(reader.room()))
      if (typeof count !== 'number') return fail(count ?? 'the connection ended')
      for (const frame of framesOf(count)) take(frame)
    }

    function framesOf(count: number): readonly Frame[] {
      try {
        return reader.filled(count)
      } catch (error) {
        if (!(error instanceof FrameError)) throw error
        fail(error.message)
        return []
      }
    }
  }

  function take({ opcode, payload }: Frame): void {
    switch (opcode) {
      case opcodes.binary:
        if (!isClosed) events.received(payload)
        return
      case opcodes.ping:
        if (!isClosed) enqueue(opcodes.pong, payload)
        return
      case opcodes.pong:
        return
      case opcodes.close: {
        const [high = 0, low = 0] = payload
        const code = payload.byteLength < 2 ? 1005 : (high << 8) | low
        // An answer to ours, or theirs, which wants one; the other side then ends the connection.
        return close(
          1000,
          new TextDecoder().decode(payload.subarray(2)) || `closed with code ${code}`,
        )
      }
      default:
        return close(1003, 'a message that is no packet')
    }
  }

  void run()
  return {
    send(packet) {
      if (isClosed || !isOpen) return 'closed'
      if (isWaiting) return 'full'
      enqueue(opcodes.binary, packet)
      isWaiting = queuedBytes > BUFFERED_BYTES_MAX
      return 'sent'
    },
    close: (reason) => close(1000, reason),
  }
}

/** Undefined, or why it is no WebSocket. Nothing comes after the answer before we have spoken. */
async function shakeHands(socket: DenoSocket, url: URL): Promise<string | undefined> {
  const request =
    `GET ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\n` +
    'Upgrade: websocket\r\nConnection: Upgrade\r\n' +
    `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n`
  const bytes = new TextEncoder().encode(request)
  for (let written = 0; written < bytes.byteLength; ) {
    written += await socket.write(bytes.subarray(written))
  }
  // Byte by byte: what follows is the frames'.
  const byte = new Uint8Array(1)
  let answer = ''
  while (!answer.endsWith('\r\n\r\n')) {
    if ((await socket.read(byte)) === null || answer.length > ANSWER_BYTES_MAX) break
    answer += String.fromCharCode(byte[0] ?? 0)
  }
  const [status = ''] = answer.split('\r\n')
  if (!/^HTTP\/1\.1 101 /.test(status)) return `no WebSocket there: ${status || 'no answer'}`
  const accept = /^sec-websocket-accept: *(\S+)/im.exec(answer)?.[1]
  return accept === ACCEPT ? undefined : 'no WebSocket there: a wrong answer to its key'
}

/** One large part, or small ones together. */
function nextWrite(queue: Uint8Array[]): Uint8Array | undefined {
  let bytes = 0
  let count = 0
  while (count < queue.length && bytes + queue[count]!.byteLength <= SHARED_WRITE_BYTES) {
    bytes += queue[count]!.byteLength
    count += 1
  }
  if (count < 2) return queue.shift()
  const shared = new Uint8Array(bytes)
  let offset = 0
  for (const part of queue.splice(0, count)) {
    shared.set(part, offset)
    offset += part.byteLength
  }
  return shared
}

/** What the promise brings, or what went wrong: a socket fails in many ways that are all the same to us. */
async function attempt<T>(promise: Promise<T>): Promise<T | string> {
  try {
    return await promise
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}
