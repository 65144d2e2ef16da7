// @ts-check
// The HTTP API as the page uses it: with the token of its address, problems as errors, events that go on
// after a lost connection.
import { ProblemError, parseEvents, problemOf } from '/responses.js'

const KEPT = 'troupe-token'

/** The token comes behind the hash, which no server sees; it does not stay in the address. */
function takeToken() {
  const given = /token=([\w-]+)/.exec(location.hash)?.[1]
  if (given) {
    sessionStorage.setItem(KEPT, given)
    history.replaceState(null, '', location.pathname)
  }
  return sessionStorage.getItem(KEPT) ?? undefined
}

let token = takeToken()

/** @param {string} given */
export function useToken(given) {
  token = given
  sessionStorage.setItem(KEPT, given)
}

export function hasToken() {
  return token !== undefined
}

/** @returns {Record<string, string>} */
function headers() {
  return token === undefined ? {} : { authorization: `Bearer ${token}` }
}

/**
 * @template T
 * @param {string} path
 * @param {Omit<RequestInit, 'headers'> & { headers?: Record<string, string> }} [options]
 * @returns {Promise<T>}
 */
export async function get(path, options = {}) {
  const response = await fetch(path, { ...options, headers: { ...headers(), ...options.headers } })
  if (!response.ok) throw await problemOf(response)
  return await response.json()
}

/** @template T @param {string} method @param {string} path @param {object} [body] @returns {Promise<T>} */
export async function change(method, path, body) {
  const json = body && {
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json' },
  }
  return await get(path, { method, ...json })
}

/** Bytes with the token, for images and downloads. @param {string} path */
export async function blob(path) {
  const response = await fetch(path, { headers: headers() })
  if (!response.ok) throw await problemOf(response)
  return await response.blob()
}

const RETRY_MS = { first: 500, most: 8_000 }

/**
 * Calls `hear` with every event from now on, and `connected` with whether the stream is open.
 * @param {{ hear: (event: import('../../../protocol/control.ts').Event) => void, connected: (isOpen: boolean) => void }} listener
 */
export async function listen({ hear, connected }) {
  let last = 0
  let retryMs = RETRY_MS.first
  for (;;) {
    try {
      const response = await fetch(`/events?after=${last}`, { headers: headers() })
      if (!response.ok || !response.body) throw await problemOf(response)
      connected(true)
      retryMs = RETRY_MS.first
      for await (const { id, data } of parseEvents(response.body)) {
        last = Number(id ?? last)
        hear(JSON.parse(data))
      }
    } catch (error) {
      if (error instanceof ProblemError && error.status === 401) return connected(false)
    }
    connected(false)
    await new Promise((resolve) => setTimeout(resolve, retryMs))
    retryMs = Math.min(RETRY_MS.most, 2 * retryMs)
  }
}
