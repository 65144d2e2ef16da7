// Several members in one process under virtual time, and the actor that the tests of groups place there.
import { type Infer, replyTo, text, union } from '../../../protocol/schema.ts'
import { type ActorDefinition, AskError, next } from '../../../runtime/actor.ts'
import type { Resources } from '../../../runtime/cluster/resources.ts'
import type { InspectionEvent } from '../../../runtime/inspect.ts'
import { createSystem, type System } from '../../../runtime/system.ts'
import { createWorld, type World } from '../../../runtime/simulation/world.ts'

export const EchoMessage = union({
  note: { value: text },
  who: { key: text, replyTo: replyTo<string>() },
  read: { replyTo: replyTo<readonly string[]>() },
  /** Never answered. */
  hold: { replyTo: replyTo<string>() },
  /** Answered after 100 ms: it has an empty mailbox and still work to do. */
  slow: { replyTo: replyTo<string>() },
  answer: { value: text },
  crash: {},
})
export type EchoMessage = Infer<typeof EchoMessage>

/** Says who it is; a config of `bad` does not start. */
export const echo: ActorDefinition<string, string[], EchoMessage> = {
  kind: 'echo',
  protocol: EchoMessage,
  config: text,
  start(config) {
    if (config === 'bad') throw new RangeError('a bad config')
    return []
  },
  receive(notes, message, { self, environment }) {
    const name = `${self.address.member}${self.address.path}`
    switch (message.type) {
      case 'note':
        notes.push(message.value)
        return next(notes)
      case 'who':
        message.replyTo.tell(name)
        return next(notes)
      case 'read':
        message.replyTo.tell(notes)
        return next(notes)
      case 'slow':
        environment.clock.after(100, () => message.replyTo.tell(name))
        return next(notes)
      case 'crash':
        throw new RangeError('as told')
      default:
        return next(notes)
    }
  },
}

export interface Members {
  readonly world: World
  readonly systems: Readonly<Record<string, System>>
  readonly events: InspectionEvent[]
  system(name: string): System
  add(name: string, options?: { incarnation?: number; resources?: Resources }): Promise<System>
  /** Lets the world run until the promise has settled, or 60 s of it have passed. */
  settle<T>(promise: Promise<T>): Promise<T>
}

/** The first is the one that the others join. */
export async function startMembers(
  names: readonly string[],
  options: {
    definitions?: readonly unknown[]
    resources?: Readonly<Record<string, Resources>>
  } = {},
): Promise<Members> {
  const world = createWorld()
  const systems: Record<string, System> = {}
  const events: InspectionEvent[] = []
  const [first = ''] = names
  const definitions = (options.definitions ?? [echo]) as never

  async function add(
    member: string,
    own: { incarnation?: number; resources?: Resources } = {},
  ): Promise<System> {
    const resources = own.resources ?? options.resources?.[member]
    const { incarnation = 1 } = own
    const environment = world.environment(member, incarnation)
    const place = resources ? { resources } : {}
    const system = createSystem({ environment, member, incarnation, definitions, ...place })
    system.inspect((event) => events.push(event))
    systems[member] = system
    await system.listen()
    const url = systems[first]?.url
    if (member !== first && url) await settle(system.join(url))
    return system
  }

  async function settle<T>(promise: Promise<T>): Promise<T> {
    let isOver = false
    const mark = (): void => {
      isOver = true
    }
    promise.then(mark, mark)
    for (let ms = 0; ms < 60_000 && !isOver; ms += 5) await world.clock.advance(5)
    if (!isOver) throw new Error('not settled within a minute')
    return promise
  }

  for (const name of names) await add(name)
  await world.clock.advance(20)
  const system = (name: string): System => systems[name]!
  return { world, systems, events, system, add, settle }
}

export const failureOf = (asked: Promise<unknown>): Promise<string> =>
  asked.then(
    (value) => `answered ${value}`,
    (error: unknown) =>
      error instanceof AskError ? `${error.failure}: ${error.message}` : String(error),
  )

export const countTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
