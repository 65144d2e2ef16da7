import type { hc } from 'hono/client'
import type { Event } from '../../protocol/control.ts'
import type { ControlApp } from './app.ts'

export { ProblemError, parseEvents, problemOf, type SentEvent } from './responses.js'

export interface ClientOptions {
  /** Printed when the control plane starts; for changes, and for everything beyond loopback. */
  readonly token?: string
  readonly fetch?: typeof fetch
}

export type Client = ReturnType<typeof hc<ControlApp>>

/** Routes as methods: `client('http://127.0.0.1:7070', { token }).runs.$get()`. */
export declare function client(url: string, options?: ClientOptions): Client

/** The body of an answer. Rejects with `ProblemError`. */
export declare function answerOf<R extends { json(): Promise<unknown> }>(
  asked: R | Promise<R>,
): Promise<Awaited<ReturnType<R['json']>>>

export interface EventsOptions extends ClientOptions {
  /** Events after this id; 0: all that are still kept; default: from now on. */
  readonly after?: number
  readonly types?: readonly string[]
  readonly signal?: AbortSignal
  /** Connections that fail in a row before it ends. Default: no end. */
  readonly triesMax?: number
}

/** One after the other, resumed after a lost connection. Throws `ProblemError` where the server refuses. */
export declare function events(url: string, options?: EventsOptions): AsyncGenerator<Event>
