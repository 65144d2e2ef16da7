// Who may do what: changes take a bearer token; so does reading, where the plane is bound to more than
// loopback. Wrong tokens are counted, and whoever tries too many waits.
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Clock } from '../../runtime/index.ts'
import { type Context, type MiddlewareHandler, refuse } from './http.ts'

export interface GuardOptions {
  readonly token: string
  readonly clock: Clock
  /** Only this machine can reach it. */
  readonly isLoopback: boolean
  /** Who asks: its address. */
  readonly from: (c: Context) => string
  readonly onRefused: (from: string, path: string) => void
}

/** Wrong tokens of one address within a minute, before it waits for the rest of that minute. */
const FAILURES_MAX = 10
const WINDOW_MS = 60_000
/** Addresses that are remembered; beyond that the oldest are forgotten. */
const ADDRESSES_MAX = 1_000
const MEANT_FOR_ALL = /^\/(healthz|readyz|assets\/.*|client\.js|favicon\.svg|reference|)$/

export function guard(options: GuardOptions): MiddlewareHandler {
  const { token, clock, isLoopback, from, onRefused } = options
  const failures = new Map<string, { count: number; readonly since: number }>()

  function noteFailure(address: string, now: number): void {
    const known = failures.get(address)
    if (known && now - known.since < WINDOW_MS) {
      known.count += 1
      return
    }
    failures.delete(address)
    const [oldest] = failures.keys()
    if (failures.size >= ADDRESSES_MAX && oldest !== undefined) failures.delete(oldest)
    failures.set(address, { count: 1, since: now })
  }

  function checkRate(address: string, now: number): void {
    const known = failures.get(address)
    if (!known || known.count < FAILURES_MAX) return
    const waitMs = known.since + WINDOW_MS - now
    if (waitMs <= 0) return void failures.delete(address)
    const seconds = Math.ceil(waitMs / 1_000)
    refuse(429, 'too-many-failures', 'Too many wrong tokens', `try again in ${seconds} s`, {
      'retry-after': `${seconds}`,
    })
  }

  return async (c, next) => {
    // A page of elsewhere that has its name resolved to this machine is not this machine's page.
    if (isLoopback && !isLoopbackHost(c.req.header('host'))) {
      refuse(421, 'wrong-host', 'The host is not this one', 'ask for 127.0.0.1 or localhost')
    }
    const isOpen = changesNothing(c) && (isLoopback || MEANT_FOR_ALL.test(c.req.path))
    const given = bearerOf(c.req.header('authorization'))
    if (isOpen && given === undefined) return await next()
    const now = clock.now()
    const address = from(c)
    checkRate(address, now)
    if (given === undefined || !isSame(given, token)) {
      if (given !== undefined) {
        noteFailure(address, now)
        onRefused(address, c.req.path)
      }
      const why = given === undefined ? 'is missing' : 'is wrong'
      refuse(401, 'token', `The token ${why}`, 'send the header authorization: Bearer TOKEN', {
        'www-authenticate': 'Bearer',
      })
    }
    failures.delete(address)
    await next()
  }
}

/** To ask a model is not to change it. */
export function changesNothing({ req: { method, path } }: Context): boolean {
  const isReading = method === 'GET' || method === 'HEAD'
  return isReading || (method === 'POST' && /^\/models\/[^/]+\/predict$/.test(path))
}

/** Takes as long whatever is given: digests are compared, and those are of one length. */
function isSame(given: string, wanted: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(given), digest(wanted))
}

function bearerOf(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  return /^bearer +(\S+) *$/i.exec(header)?.[1] ?? ''
}

export function isLoopbackAddress(hostname: string): boolean {
  return /^(localhost|127(\.\d+){3}|::1|\[::1\])$/i.test(hostname)
}

function isLoopbackHost(host: string | undefined): boolean {
  return host === undefined || isLoopbackAddress(host.replace(/:\d+$/, ''))
}

/** Nothing of elsewhere runs in the page, and the page runs nowhere else. */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'self'; img-src 'self' blob: data:; style-src 'self'; object-src 'none'; " +
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
}
