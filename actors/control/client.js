// The client of the HTTP API, typed by the routes (client.d.ts). JavaScript, so that browsers and Node load
// it as it is; the only importer of hono/client.
import { hc } from 'hono/client'

/** What the server refused, as its problem document says (RFC 9457). */
export class ProblemError extends Error {
  constructor(problem) {
    super(problem.detail === undefined ? problem.title : `${problem.title}: ${problem.detail}`)
    this.name = 'ProblemError'
    this.type = problem.type
    this.title = problem.title
    this.status = problem.status
    this.detail = problem.detail
  }
}

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

export async function problemOf(response) {
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json')
  const title = `the server answers ${response.status}`
  return new ProblemError(
    isProblem ? await response.json() : { type: 'about:blank', title, status: response.status },
  )
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

const TEXT_MAX = 8 << 20

/** Server-sent events (HTML Living Standard, 9.2.6) of a stream of bytes. */
export async function* parseEvents(body) {
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let text = ''
  let event = { data: [] }
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      text += decoder.decode(value, { stream: true })
      if (text.length > TEXT_MAX) throw new Error('an event without an end')
      // A carriage return at the very end may be half of a line break.
      const lines = text.split(/\r\n|\n|\r(?!$)/)
      text = lines.pop() ?? ''
      for (const line of lines) {
        if (line !== '') {
          readField(event, line)
          continue
        }
        const { id, type, data } = event
        event = { data: [] }
        if (data.length > 0) yield { id, type: type ?? 'message', data: data.join('\n') }
      }
    }
  } finally {
    await reader.cancel().catch(() => {})
  }
}

function readField(event, line) {
  const colon = line.indexOf(':')
  if (colon === 0) return
  const name = colon < 0 ? line : line.slice(0, colon)
  const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
  if (name === 'data') event.data.push(value)
  if (name === 'id' && !value.includes('\0')) event.id = value
  if (name === 'event') event.type = value
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
