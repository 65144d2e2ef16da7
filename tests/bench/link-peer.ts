// The other process of `links.ts`: a member whose actors count and answer, and beside it a bare WebSocket
// server to compare with. Prints one line of JSON; ends when its standard input does.

import type { Infer } from '../../protocol/schema.ts'
import { bytes, integer, replyTo, struct, tensor, text, union } from '../../protocol/schema.ts'
import { type ActorDefinition, next, type Ref } from '../../runtime/actor.ts'
import { createSystem, realEnvironment } from '../../runtime/index.ts'

export const LinkMessage = union({
  note: { text },
  blob: { bytes },
  /** Answered when so many notes and blobs have come: how long that took from the first to the last. */
  expect: { count: integer, replyTo: replyTo<number>() },
  weigh: { tensor, replyTo: replyTo<number>() },
  echo: { text, replyTo: replyTo<string>() },
})
export type LinkMessage = Infer<typeof LinkMessage>

interface Counting {
  count: number
  left: number
  startedMs: number
  reply: Ref<number> | undefined
}

export const linkActor: ActorDefinition<undefined, Counting, LinkMessage> = {
  kind: 'link-actor',
  protocol: LinkMessage,
  config: struct({}) as never,
  start: () => ({ count: 0, left: 0, startedMs: 0, reply: undefined }),
  receive(state, message) {
    switch (message.type) {
      case 'note':
      case 'blob':
        count(state)
        return next(state)
      case 'expect':
        return next({
          count: message.count,
          left: message.count,
          startedMs: 0,
          reply: message.replyTo,
        })
      case 'weigh':
        message.replyTo.tell(message.tensor.bytes.byteLength)
        return next(state)
      case 'echo':
        message.replyTo.tell(message.text)
        return next(state)
    }
  },
}

function count(state: Counting): void {
  if (state.left === state.count) state.startedMs = performance.now()
  state.left -= 1
  if (state.left === 0) state.reply?.tell(performance.now() - state.startedMs)
}

/** A message at least this long is answered by eight bytes, a shorter one by itself. */
export const RAW_ECHO_BYTES_MAX = 1_024

export interface LinkPlaces {
  readonly member: string
  readonly raw: string
}

if (import.meta.main) {
  const system = createSystem({ environment: realEnvironment({ seed: 'peer' }), member: 'peer' })
  const options = { mailboxMessagesMax: 2_000_000 }
  system.spawn(linkActor, undefined, { name: 'counter', ...options })
  system.spawn(linkActor, undefined, { name: 'echo', ...options })
  const bare = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch: (request, server) =>
      server.upgrade(request) ? undefined : new Response('WebSocket only', { status: 426 }),
    websocket: {
      perMessageDeflate: false,
      maxPayloadLength: 64 << 20,
      backpressureLimit: 128 << 20,
      message(socket, message) {
        const isShort = message.length <= RAW_ECHO_BYTES_MAX
        socket.send(isShort ? message : new Uint8Array(8))
      },
    },
  })
  const places: LinkPlaces = {
    member: await system.listen(),
    raw: `ws://127.0.0.1:${bare.port}`,
  }
  console.log(JSON.stringify(places))
  for await (const _ of Bun.stdin.stream()) {
    // Only its end says something.
  }
  process.exit(0)
}
