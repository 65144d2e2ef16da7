// The actor of every member that starts other actors, by kind, for whoever asks from afar. Only kinds
// that the member was created with can be named.
import {
  type Infer,
  integer,
  literal,
  number,
  optional,
  plain,
  replyTo,
  struct,
  text,
  union,
} from '../protocol/schema.ts'
import { type ActorDefinition, next, type SpawnOptions } from './actor.ts'

const SpawnMessage = union({
  spawn: {
    kind: text,
    config: plain,
    name: text,
    restart: optional(literal('permanent', 'transient', 'temporary')),
    restartLimit: optional(struct({ restartsMax: integer, windowMs: number })),
    backoff: optional(struct({ delayMs: number, delayMsMax: number })),
    mailboxMessagesMax: optional(integer),
    replyTo: replyTo<Spawned>(),
  },
})
export type SpawnMessage = Infer<typeof SpawnMessage>

export type Spawned =
  | { readonly type: 'spawned'; readonly path: string }
  | { readonly type: 'failed'; readonly cause: string }

export type SpawnKind = (kind: string, config: unknown, options: SpawnOptions) => Spawned

export const SPAWNER_NAME = 'spawner'

export function spawnerOf(spawnKind: SpawnKind): ActorDefinition<undefined, null, SpawnMessage> {
  return {
    kind: 'spawner',
    protocol: SpawnMessage,
    config: plain as never,
    start: () => null,
    receive(state, message) {
      const { replyTo: asker, kind, config, type: _, ...options } = message
      asker.tell(spawnKind(kind, config, options))
      return next(state)
    },
  }
}
