// The actor of every member that starts other actors, by kind, for whoever asks from afar, and stops
// them again. Only kinds that the member was created with can be named.
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
import {
  type ActorDefinition,
  type AnyDefinition,
  next,
  type Ref,
  type SpawnOptions,
} from './actor.ts'
import type { Cell } from './lives.ts'
import type { System } from './system.ts'

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
  /** A root actor of such a kind; answered when it will take no more messages, or if there is none. */
  stop: { path: text, replyTo: replyTo<'stopped'>() },
  /** Is it there, only between two lives, or gone for good? */
  look: { path: text, replyTo: replyTo<Presence>() },
})
export type SpawnMessage = Infer<typeof SpawnMessage>

export type Spawned =
  | { readonly type: 'spawned'; readonly path: string }
  | { readonly type: 'failed'; readonly cause: string }

export type Presence = 'living' | 'restarting' | 'gone'

export interface SpawnerWorld {
  spawn(kind: string, config: unknown, options: SpawnOptions): Spawned
  readonly kinds: ReadonlyMap<string, AnyDefinition>
  readonly find: (path: string) => Cell | undefined
  readonly stopAt: (path: string) => void
}

export const SPAWNER_NAME = 'spawner'

export function spawnerOf(world: SpawnerWorld): ActorDefinition<undefined, null, SpawnMessage> {
  return {
    kind: 'spawner',
    protocol: SpawnMessage,
    config: plain as never,
    start: () => null,
    receive(state, message) {
      switch (message.type) {
        case 'spawn': {
          const { replyTo: asker, kind, config, type: _, ...options } = message
          asker.tell(world.spawn(kind, config, options))
          return next(state)
        }
        case 'stop':
          stopFromAfar(world, message.path)
          message.replyTo.tell('stopped')
          return next(state)
        case 'look':
          message.replyTo.tell(presenceOf(world.find(message.path)))
          return next(state)
      }
    },
  }
}

function presenceOf(cell: Cell | undefined): Presence {
  if (!cell) return 'gone'
  return cell.life ? 'living' : 'restarting'
}

// Only what can be started from afar can be stopped from afar.
function stopFromAfar({ kinds, find, stopAt }: SpawnerWorld, path: string): void {
  const { parent, definition } = find(path) ?? {}
  if (definition && !parent && kinds.get(definition.kind) === definition) stopAt(path)
}

/** The spawner of a member, as anyone may address it. */
export function spawnerOn(system: Pick<System, 'ref'>, member: string): Ref<SpawnMessage> {
  return system.ref({ member, path: `/${SPAWNER_NAME}` })
}
