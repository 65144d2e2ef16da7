// A control plane on a port: its token made, its file left for the command line to find, its end in order.
import { customAlphabet } from 'nanoid'
import { DiskError, type Environment } from '../../runtime/index.ts'
import { VERSION } from '../version.ts'
import { controlApp } from './app.ts'
import { isLoopbackAddress } from './guard.ts'
import { openPage } from './page.ts'
import { createPlane, type Plane, type PlaneOptions } from './plane.ts'
import { registerPlane, stateFolder } from './registry.ts'
import { type HttpServer, serveHttp } from './server.ts'

export interface ControlOptions {
  /** 0 picks a free one. */
  readonly port: number
  /** Default loopback; any other address takes the token for reading too. */
  readonly hostname?: string
  /** Faults may be injected over HTTP. Default false. */
  readonly allowFaults?: boolean
  /** Origins of other pages that may ask. Default none. */
  readonly origins?: readonly string[]
}

export interface ControlPlane {
  readonly plane: Plane
  readonly url: string
  /** For a browser: the token goes along behind the hash, which no server sees. */
  readonly pageUrl: string
  readonly token: string
  stop(): Promise<void>
}

const TOKEN_LENGTH = 32
const makeToken = customAlphabet(
  '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ',
  TOKEN_LENGTH,
)

/** Throws `PortError`. */
export function startControl(
  environment: Environment,
  options: ControlOptions & Pick<PlaneOptions, 'start' | 'models'> & { readonly out?: string },
): ControlPlane {
  const { port, hostname = '127.0.0.1', allowFaults = false, origins, start, models, out } = options
  const token = makeToken()
  const plane = createPlane({
    environment,
    allowFaults,
    ...(start && { start }),
    ...(models && { models }),
  })
  const app = controlApp(plane, {
    version: VERSION,
    token,
    isLoopback: isLoopbackAddress(hostname),
    page: openPage(environment.disk),
    ...(origins && { origins }),
  })
  const server = serveHttp((request, env) => app.fetch(request, env), { hostname, port })
  const unregister = register(environment, plane, {
    server,
    token,
    ...(out !== undefined && { out }),
  })
  return {
    plane,
    url: server.url,
    pageUrl: `${server.url}/#token=${token}`,
    token,
    async stop() {
      unregister()
      plane.close()
      await server.stop()
    },
  }
}

/** Where no file can be written there is a plane all the same: whoever has its address has it. */
function register(
  environment: Environment,
  { log }: Plane,
  { server, token, out }: { server: HttpServer; token: string; out?: string },
): () => void {
  const entry = {
    url: server.url,
    token,
    processId: process.pid,
    self: environment.processes.self,
    startedAt: Math.round(environment.clock.wallTime()),
    ...(out !== undefined && { out }),
  }
  try {
    return registerPlane(environment, stateFolder(process.env), entry)
  } catch (error) {
    if (!(error instanceof DiskError)) throw error
    const message = `the command line finds this cluster only by --url and --token (${error.message})`
    log.put({ type: 'note', message })
    return () => {}
  }
}
