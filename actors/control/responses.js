// What the HTTP API answers beneath its routes: problem documents, and streams of events. JavaScript without
// imports, for the client and the dashboard alike.

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

export async function problemOf(response) {
  const isProblem = response.headers.get('content-type')?.startsWith('application/problem+json')
  const title = `the server answers ${response.status}`
  return new ProblemError(
    isProblem ? await response.json() : { type: 'about:blank', title, status: response.status },
  )
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
