// The HTTP API: every route behind the same guard, with the same headers, audited where it changes
// something. Its type is what the typed client is made of.
import { Health, Readiness } from '../../protocol/control.ts'
import { describeError } from './errors.ts'
import { exposition } from './exposition.ts'
import { changesNothing, guard, securityHeaders } from './guard.ts'
import {
  answerError,
  type Context,
  cors,
  describeApi,
  Hono,
  type MiddlewareHandler,
  notFound,
  refuse,
  says,
} from './http.ts'
import { metricsOf } from './metrics.ts'
import type { Page } from './page.ts'
import type { Plane } from './plane.ts'
import { clusterRoutes } from './routes/cluster.ts'
import { eventRoutes } from './routes/events.ts'
import { faultRoutes } from './routes/faults.ts'
import { insightRoutes } from './routes/insight.ts'
import { modelRoutes } from './routes/models.ts'
import { runRoutes } from './routes/runs.ts'

export interface ControlAppOptions {
  readonly version: string
  readonly token: string
  readonly isLoopback: boolean
  /** Absent where there is no dashboard. */
  readonly page?: Page
  /** Pages of other origins that may ask; default: none. */
  readonly origins?: readonly string[]
  /** Of a request for predictions. */
  readonly bodyBytesMax?: number
}

const HANDLER_MS_MAX = 60_000

export function controlApp(plane: Plane, options: ControlAppOptions) {
  const { clock } = plane.environment
  const { token, isLoopback, page, origins = [], bodyBytesMax } = options
  const bodies = bodyBytesMax === undefined ? {} : { bodyBytesMax }
  const from = (c: Context): string => (c.env as { address?: string } | undefined)?.address ?? ''
  const refusedToken = (by: string, path: string): void =>
    plane.log.put({ type: 'audit', action: 'token', target: path, ok: false, by })
  const app = new Hono()
  app.use(headers)
  if (origins.length > 0) app.use(cors({ origin: [...origins], maxAge: 600 }))
  app.use(guard({ token, clock, isLoopback, from, onRefused: refusedToken }))
  app.use(audit(plane, from))
  app.use(within(plane, HANDLER_MS_MAX))
  const routes = app
    .get('/healthz', says('Whether the process answers', Health), (c) =>
      c.json({ status: 'ok' as const }),
    )
    .get('/readyz', says('Whether a run could be steered', Readiness, { problems: [503] }), (c) => {
      const readiness = readinessOf(plane)
      return c.json(readiness, readiness.status === 'ready' ? 200 : 503)
    })
    .get('/metrics', says('Metrics, as Prometheus reads them', 'text'), async (c) => {
      const type = { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }
      return c.body(exposition(await metricsOf(plane)), 200, type)
    })
    .route('/', runRoutes(plane))
    .route('/', clusterRoutes(plane))
    .route('/', eventRoutes(plane))
    .route('/', faultRoutes(plane))
    .route('/', insightRoutes(plane))
    .route('/', modelRoutes({ disk: plane.environment.disk, models: plane.models, ...bodies }))
  let document: Promise<object> | undefined
  app.get('/openapi.json', async (c) =>
    c.json(await (document ??= describeApi(app, options.version))),
  )
  if (page) {
    const own = ['/', '/reference', '/favicon.svg', '/client.js', '/responses.js']
    for (const path of [...own, '/assets/*']) app.get(path, (c) => fileOf(c, page))
  }
  app.notFound(notFound(app))
  app.onError((error, c) => answerError(error, c, describeError))
  return routes
}

export type ControlApp = ReturnType<typeof controlApp>

const headers: MiddlewareHandler = async (c, next) => {
  await next()
  for (const [name, value] of Object.entries(securityHeaders)) c.header(name, value)
}

/** Every change, and every change that was refused, is an event. */
function audit({ log }: Plane, from: (c: Context) => string): MiddlewareHandler {
  return async (c, next) => {
    await next()
    const { method, path } = c.req
    if (changesNothing(c)) return
    const { status, ok } = c.res
    log.put({ type: 'audit', action: method, target: path, status, ok, by: from(c) })
  }
}

/** Whoever asks is answered, whatever becomes of the work. */
function within({ environment: { clock } }: Plane, ms: number): MiddlewareHandler {
  return async (_, next) => {
    const { promise, reject } = Promise.withResolvers<never>()
    const stopClock = clock.after(ms, () => reject(new HandlerTimeout()))
    try {
      await Promise.race([next(), promise])
    } catch (error) {
      if (!(error instanceof HandlerTimeout)) throw error
      const detail = `it is not done after ${ms / 1_000} s, and may still be under way`
      refuse(503, 'timeout', 'It takes too long', detail)
    } finally {
      stopClock()
    }
  }
}

class HandlerTimeout extends Error {
  override readonly name = 'HandlerTimeout'
}

function readinessOf({ current }: Plane): Readiness {
  const state = current && !current.isOver ? current.run.state : undefined
  if (state !== 'preparing' && state !== 'stopping') return { status: 'ready' }
  return { status: 'not-ready', reason: `the run is ${state}` }
}

function fileOf(c: Context, page: Page): Response {
  const file = page.find(c.req.path)
  if (!file) return refuse(404, 'not-found', 'There is no such file', c.req.path)
  const { bytes, type, tag } = file
  // Asked again each time: a newer Troupe on the same port has newer files.
  const headers = { etag: tag, 'cache-control': 'no-cache' }
  if (c.req.header('if-none-match') === tag) return c.body(null, 304, headers)
  return c.body(bytes, 200, { ...headers, 'content-type': type })
}
