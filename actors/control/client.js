// The client of the HTTP API, typed by the routes (client.d.ts). JavaScript, so that browsers and Node load
// it as it is; the only importer of hono/client.
import { hc } from 'hono/client'
import { ProblemError, parseEvents, problemOf } from './responses.js'

export { ProblemError, parseEvents, problemOf }

/** Routes as methods: `client(url, { token }).runs.$get()`. */
export function client(url, { token, fetch } = {}) {
  return hc(url, { headers: headersOf(token), ...(fetch && { fetch }) })
}

/** The body of an answer; throws `ProblemError`. */
export async function answerOf(asked) {
  const response = await asked
  if (!response.ok) throw await problemOf(response)
  return await response.json()
}

const RETRY_MS = { first: 250, most: 8_000 }

/**
 * Events of the control plane, one after the other. A lost connection is made again and goes on behind the
 * last event; what was missed meanwhile comes as one event of type `missed`. Ends with `signal`, or where the
 * server is gone for good (`triesMax` tries in a row).
 */
export async function* events(url, options = {}) {
  const { token, types, signal, triesMax = Number.POSITIVE_INFINITY, fetch: ask = fetch } = options
  let { after } = options
  let tries = 0
  while (!signal?.aborted) {
    try {
      const query = new URLSearchParams()
      if (after !== undefined) query.set('after', String(after))
      if (types) query.set('types', types.join(','))
      const response = await ask(`${url}/events?${query}`, { headers: headersOf(token), signal })
      if (!response.ok) throw await problemOf(response)
      tries = 0
      for await (const { id, data } of parseEvents(response.body)) {
        if (id !== undefined) after = Number(id)
        yield JSON.parse(data)
      }
    } catch (error) {
      if (signal?.aborted) return
      if (error instanceof ProblemError) throw error
    }
    tries += 1
    if (tries > triesMax) return
    await pause(Math.min(RETRY_MS.most, RETRY_MS.first * 2 ** (tries - 1)), signal)
  }
}

function headersOf(token) {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    signal?.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
