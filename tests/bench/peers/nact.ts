// The four workloads on nact 7.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { CreateFramework } from './framework.ts'

const TIMEOUT_MS = 60_000

// Installed by the benchmark and not by us: what is used of it, typed here.
interface NactRef {
  readonly path: unknown
}
interface Properties<State> {
  readonly initialState?: State
  readonly initialStateFunc?: () => State
  readonly afterStop?: () => void
}
interface Nact {
  start(name: string): NactRef
  spawn<State, Message>(
    parent: NactRef,
    receive: (state: State, message: Message, context: { self: NactRef }) => State,
    name: string,
    properties: Properties<State>,
  ): NactRef
  dispatch(ref: NactRef, message: unknown): void
  query<Reply>(ref: NactRef, message: (replyTo: NactRef) => unknown, ms: number): Promise<Reply>
  stop(ref: NactRef): void
}

type CounterMessage = { add: number } | { replyTo: NactRef }
type PingMessage = { exchanges: number; replyTo: NactRef } | { back: true }
interface Volley {
  left: number
  done: number
  replyTo: NactRef | undefined
}

export const create: CreateFramework = async ({ folder }) => {
  const require = createRequire(join(folder, 'package.json'))
  const { start, spawn, dispatch, query, stop }: Nact = require('nact')
  const { version } = require('nact/package.json') as { version: string }
  const system = start('bench')

  const counter = spawn<number, CounterMessage>(
    system,
    (total, message) => {
      if ('add' in message) return total + message.add
      dispatch(message.replyTo, total)
      return 0
    },
    'counter',
    { initialState: 0 },
  )
  const echo = spawn<null, { text: string; replyTo: NactRef }>(
    system,
    (state, { text, replyTo }) => {
      dispatch(replyTo, `echo:${text}`)
      return state
    },
    'echo',
    { initialState: null },
  )
  const pong = spawn<null, { from: NactRef }>(
    system,
    (state, { from }) => {
      dispatch(from, { back: true })
      return state
    },
    'pong',
    { initialState: null },
  )
  const ping = spawn<Volley, PingMessage>(
    system,
    (volley, message, { self }) => {
      if ('exchanges' in message) {
        volley = { left: message.exchanges, done: 0, replyTo: message.replyTo }
      } else {
        volley.left -= 1
        volley.done += 1
      }
      if (volley.left > 0) dispatch(pong, { from: self })
      else if (volley.replyTo) dispatch(volley.replyTo, volley.done)
      return volley
    },
    'ping',
    { initialState: { left: 0, done: 0, replyTo: undefined } },
  )
  let children = 0

  return {
    version,
    async spawnAndStop(count) {
      let started = 0
      let stopped = 0
      const { promise, resolve } = Promise.withResolvers<void>()
      const properties: Properties<null> = {
        initialStateFunc() {
          started += 1
          return null
        },
        afterStop() {
          stopped += 1
          if (stopped === count) resolve()
        },
      }
      const refs: NactRef[] = []
      for (let i = 0; i < count; i++) {
        refs.push(spawn(system, (state: null) => state, `child-${children++}`, properties))
      }
      if (started !== count) throw new Error(`${started} of ${count} actors started`)
      for (const ref of refs) stop(ref)
      await promise
      return stopped
    },
    async tells(count) {
      for (let i = 0; i < count; i++) dispatch(counter, { add: 1 })
      return await query<number>(counter, (replyTo) => ({ replyTo }), TIMEOUT_MS)
    },
    async asks(count) {
      let right = 0
      for (let i = 0; i < count; i++) {
        const said = await query(echo, (replyTo) => ({ text: 'hi', replyTo }), 5_000)
        if (said === 'echo:hi') right += 1
      }
      return right
    },
    volley: (exchanges) => query<number>(ping, (replyTo) => ({ exchanges, replyTo }), TIMEOUT_MS),
  }
}
