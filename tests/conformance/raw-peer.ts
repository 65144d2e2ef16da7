// A WebSocket peer that need not behave: it speaks the handshake and then whatever bytes it is told.
import { createHash } from 'node:crypto'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export interface RawPeer {
  /** Bytes that have arrived after the handshake. */
  readonly arrived: number
  send(bytes: Uint8Array): void
  /** From here on nothing is read. */
  pause(): void
  /** The connection ends without a close frame. */
  destroy(): void
  /** The other side has ended it. */
  readonly ended: Promise<void>
}

export async function dialRaw(url: string): Promise<RawPeer> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  )
  await readHead(socket)
  return peerOn(socket)
}

export interface RawListener {
  readonly url: string
  accept(): Promise<RawPeer>
  close(): void
}

export async function listenRaw(): Promise<RawListener> {
  const { promise, resolve } = Promise.withResolvers<RawPeer>()
  const server = createServer(async (socket) => {
    const key = /sec-websocket-key: *(\S+)/i.exec(await readHead(socket))?.[1] ?? ''
    const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accept.digest('base64')}\r\n\r\n`,
    )
    resolve(peerOn(socket))
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const { port } = server.address() as AddressInfo
  return {
    url: `ws://127.0.0.1:${port}`,
    accept: () => promise,
    close: () => void server.close(),
  }
}

export const opcodes = { text: 1, binary: 2, unknown: 7 } as const

export function frame(opcode: number, payload: Uint8Array, { isMasked = true } = {}): Uint8Array {
  const mask = isMasked ? 0x80 : 0
  const { byteLength } = payload
  const length = byteLength < 126 ? [mask | byteLength] : [mask | 127, ...bigEndian(byteLength)]
  const head = [0x80 | opcode, ...length, ...(isMasked ? [0, 0, 0, 0] : [])]
  const bytes = new Uint8Array(head.length + byteLength)
  bytes.set(head)
  // A mask of zeros leaves the payload as it is.
  bytes.set(payload, head.length)
  return bytes
}

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}

function readHead(socket: Socket): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  let text = ''
  socket.on('error', reject)
  socket.on('data', function read(chunk: Uint8Array) {
    text += new TextDecoder().decode(chunk)
    if (!text.includes('\r\n\r\n')) return
    socket.off('data', read)
    resolve(text)
  })
  return promise
}

function peerOn(socket: Socket): RawPeer {
  let arrived = 0
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  socket.on('data', (chunk: Uint8Array) => {
    arrived += chunk.byteLength
  })
  socket.on('error', () => {})
  socket.on('end', resolve)
  socket.on('close', () => resolve())
  return {
    get arrived() {
      return arrived
    },
    send: (bytes) => void socket.write(bytes),
    pause: () => void socket.pause(),
    destroy: () => void socket.destroy(),
    ended,
  }
}
