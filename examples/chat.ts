// A chat between processes, on one machine or several. The first one opens the room and says how to join.
//   bun examples/chat.ts Ada
//   bun examples/chat.ts Grace ws://127.0.0.1:PORT
import { createInterface } from 'node:readline'
import {
  createSystem,
  defineActor,
  type Infer,
  next,
  realEnvironment,
  type Ref,
  ref,
  text,
  union,
} from 'troupe/runtime'

const GuestMessage = union({ hear: { line: text } })
type GuestMessage = Infer<typeof GuestMessage>
const RoomMessage = union({
  enter: { name: text, guest: ref<GuestMessage>() },
  say: { name: text, words: text },
})
type RoomMessage = Infer<typeof RoomMessage>

/** Tells everybody what anybody says. A guest whose process ends, however it ends, has left. */
const room = defineActor({
  kind: 'room',
  protocol: RoomMessage,
  start: () => new Map<string, Ref<GuestMessage>>(),
  receive(guests, message, { watch }) {
    if (message.type === 'enter') {
      guests.set(message.name, message.guest)
      watch(message.guest)
      tellAll(guests, `${message.name} is here`)
    } else {
      tellAll(guests, `${message.name}: ${message.words}`)
    }
    return next(guests)
  },
  down(guests, { ref: { address } }) {
    guests.delete(address.member)
    tellAll(guests, `${address.member} has left`)
    return next(guests)
  },
})

const guest = defineActor({
  kind: 'guest',
  protocol: GuestMessage,
  start: () => null,
  receive(state, { line }) {
    console.log(line)
    return next(state)
  },
})

function tellAll(guests: ReadonlyMap<string, Ref<GuestMessage>>, line: string): void {
  for (const each of guests.values()) each.tell({ type: 'hear', line })
}

const [name, url] = process.argv.slice(2)
if (name === undefined) {
  console.error('bun examples/chat.ts NAME [URL of the room]')
  process.exit(2)
}
const system = createSystem({
  environment: realEnvironment({ seed: name }),
  member: url === undefined ? 'room' : name,
})
if (url === undefined) {
  system.spawn(room, undefined, { name: 'room' })
  console.log(`others join with: bun examples/chat.ts NAME ${await system.listen()}`)
} else {
  await system.join(url)
}
const there: Ref<RoomMessage> = system.ref({ member: 'room', path: '/room' })
const here = system.spawn(guest, undefined, { name: 'guest' })
there.tell({ type: 'enter', name, guest: here })
for await (const words of createInterface({ input: process.stdin })) {
  if (there.tell({ type: 'say', name, words }) !== 'accepted') break
}
await system.drain(1_000)
system.stop()
