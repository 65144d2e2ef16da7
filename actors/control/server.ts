// A port for a Hono app, on Bun and on Deno.
import { realEnvironment } from '../../runtime/index.ts'

export interface HttpServer {
  readonly url: string
  readonly port: number
  stop(): Promise<void>
}

export interface HttpServerOptions {
  /** Default loopback. */
  readonly hostname?: string
  /** 0 picks a free one. */
  readonly port: number
}

/** The address of who asks goes along. */
type Fetch = (request: Request, env: { readonly address: string }) => Response | Promise<Response>

/** The port cannot be had. */
export class PortError extends Error {
  override readonly name = 'PortError'
}

/** A connection on which nothing moves for so long is closed; event streams say something oftener. */
const IDLE_SECONDS_MAX = 30
const BODY_BYTES_MAX = 64 << 20

declare const Deno: {
  serve(
    options: object,
    fetch: (request: Request, info: { remoteAddr: { hostname?: string } }) => unknown,
  ): { addr: { port: number }; shutdown(): Promise<void> }
}

export function serveHttp(fetch: Fetch, options: HttpServerOptions): HttpServer {
  const { hostname = '127.0.0.1', port } = options
  try {
    const server =
      typeof Bun === 'undefined' ? onDeno(fetch, hostname, port) : onBun(fetch, hostname, port)
    const shown = hostname.includes(':') ? `[${hostname}]` : hostname
    return { ...server, url: `http://${shown}:${server.port}` }
  } catch (cause) {
    const advice = 'choose another port (0 picks a free one)'
    throw new PortError(`cannot listen on ${hostname}:${port}: ${advice}`, { cause })
  }
}

function onBun(fetch: Fetch, hostname: string, port: number): Omit<HttpServer, 'url'> {
  const server = Bun.serve({
    hostname,
    port,
    idleTimeout: IDLE_SECONDS_MAX,
    maxRequestBodySize: BODY_BYTES_MAX,
    fetch: (request, running) =>
      fetch(request, { address: running.requestIP(request)?.address ?? '' }),
  })
  return { port: server.port ?? port, stop: () => stopWithin(server) }
}

/** Who reads along gets the last words; who does not read holds up nobody. */
async function stopWithin(server: { stop(isNow?: boolean): Promise<void> }): Promise<void> {
  const stopped = server.stop()
  const { clock } = realEnvironment({ seed: 0 })
  const late = new Promise<void>((resolve) => clock.after(LAST_WORDS_MS_MAX, resolve))
  await Promise.race([stopped, late])
  await server.stop(true)
}

const LAST_WORDS_MS_MAX = 300

function onDeno(fetch: Fetch, hostname: string, port: number): Omit<HttpServer, 'url'> {
  const server = Deno.serve({ hostname, port, onListen: () => {} }, (request, { remoteAddr }) =>
    fetch(request, { address: remoteAddr.hostname ?? '' }),
  )
  return { port: server.addr.port, stop: () => server.shutdown() }
}
