// Members of a cluster in the world of tests: each has one actor that takes notes of what reaches it.
import type { Limits } from '../../protocol/limits.ts'
import { type Infer, replyTo, tensor, u32, union } from '../../protocol/schema.ts'
import { type ActorDefinition, type Down, next, type Ref } from '../../runtime/actor.ts'
import type { InspectionEvent } from '../../runtime/inspect.ts'
import { createSystem, type System } from '../../runtime/system.ts'
import { createWorld, type World } from '../../runtime/simulation/world.ts'

const PeerMessage = union({
  note: { value: u32 },
  big: { tensor },
  ask: { value: u32, replyTo: replyTo<number>() },
  hold: { replyTo: replyTo<number>() },
  watch: { target: replyTo<never>() },
  crash: {},
})
export type PeerMessage = Infer<typeof PeerMessage>

export interface Notes {
  readonly values: number[]
  readonly downs: Down[]
}

export const peer: ActorDefinition<Notes, Notes, PeerMessage> = {
  kind: 'peer',
  protocol: PeerMessage,
  config: { decode: () => ({ values: [], downs: [] }) },
  start: (notes) => notes,
  receive(notes, message, context) {
    switch (message.type) {
      case 'note':
        notes.values.push(message.value)
        return next(notes)
      case 'big':
        notes.values.push(message.tensor.bytes.byteLength)
        return next(notes)
      case 'ask':
        message.replyTo.tell(message.value + 1)
        return next(notes)
      case 'hold':
        return next(notes)
      case 'watch':
        context.watch(message.target)
        return next(notes)
      case 'crash':
        throw new RangeError('as told')
    }
  },
  down(notes, down) {
    notes.downs.push(down)
    notes.values.push(-1)
    return next(notes)
  },
}

export interface Member {
  readonly system: System
  readonly notes: Notes
  readonly ref: Ref<PeerMessage>
  readonly events: InspectionEvent[]
  to(member: string): Ref<PeerMessage>
}

export async function startMember(
  world: World,
  member: string,
  options: {
    incarnation?: number
    token?: string
    limits?: Partial<Limits>
    control?: string
  } = {},
): Promise<Member> {
  const { control, ...rest } = options
  const environment = world.environment(member, options.incarnation)
  const system = createSystem({ environment, member, definitions: [peer], ...rest })
  const events: InspectionEvent[] = []
  system.inspect((event) => events.push(event))
  const notes: Notes = { values: [], downs: [] }
  const ref = system.spawn(peer, notes, { name: 'peer', mailboxMessagesMax: 100_000 })
  await system.listen()
  if (control) {
    const joined = system.join(control)
    await world.clock.advance(10)
    await joined
  }
  return { system, notes, ref, events, to: (other) => system.ref({ member: other, path: '/peer' }) }
}

export async function startCluster(names: readonly string[], limits: Partial<Limits> = {}) {
  const world = createWorld()
  const control = await startMember(world, 'control', { limits })
  const members: Member[] = []
  for (const name of names) {
    const { url } = control.system
    members.push(await startMember(world, name, { limits, ...(url && { control: url }) }))
  }
  await world.clock.advance(10)
  return { world, control, members: members as [Member, Member] }
}

export const countTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i)
