// The contract of a connection (`runtime/transport/connection.ts`), over real sockets on loopback.
import { equal, match, ok } from 'node:assert/strict'
import { limits } from '../../protocol/limits.ts'
import type { Clock } from '../../runtime/environment.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import type {
  Connection,
  ConnectionEvents,
  Listener,
  Transport,
} from '../../runtime/transport/connection.ts'
import { type Case, group, messageOf, type Queue, queue } from './cases.ts'
import { dialRaw, frame, listenRaw, opcodes, type RawPeer } from './raw-peer.ts'

/** One end of a connection, and all that its events have said. */
interface End {
  readonly connection: Connection
  readonly opened: Queue<void>
  readonly received: Queue<Uint8Array>
  readonly drained: Queue<void>
  readonly closed: Queue<string>
}

interface Fixture extends AsyncDisposable {
  readonly clock: Clock
  readonly transport: Transport
  readonly listener: Listener
  readonly accepted: Queue<End>
  dial(url?: string): End
  /** A connection between two ends that are both open. */
  pair(): Promise<{ near: End; far: End }>
  /** A peer that need not behave, and the accepting end that it meets. */
  stranger(): Promise<{ peer: RawPeer; far: End }>
}

const KIB = 1 << 10
const MIB = 1 << 20
/** Of one WebSocket message. */
const MESSAGE_BYTES_MAX = limits.socketMessageBytesMax
/** A connection may hold this much before it says `full`: its own bound and what the system takes. */
const HELD_BYTES_MAX = 32 * MIB
/** Nothing more is to come; what would come all the same has had its chance. */
const SETTLE_MS = 30

async function open(): Promise<Fixture> {
  const { transport, clock } = realEnvironment({ seed: 'connections' })
  const accepted = queue<End>()
  const ends: End[] = []
  const peers: RawPeer[] = []
  const record = (connect: (events: ConnectionEvents) => Connection): End => {
    const end = {
      opened: queue<void>(),
      received: queue<Uint8Array>(),
      drained: queue<void>(),
      closed: queue<string>(),
    }
    const connection = connect(eventsOf(end))
    const recorded = { ...end, connection }
    ends.push(recorded)
    return recorded
  }
  const listener = await transport.listen({
    hostname: '127.0.0.1',
    port: 0,
    accept(connection) {
      const end = record(() => connection)
      accepted.put(end)
      return eventsOf(end)
    },
  })
  const dial = (url = listener.url): End => record((events) => transport.connect(url, events))
  return {
    clock,
    transport,
    listener,
    accepted,
    dial,
    async pair() {
      const near = dial()
      const far = await accepted.take()
      await Promise.all([near.opened.take(), far.opened.take()])
      return { near, far }
    },
    async stranger() {
      const peer = await dialRaw(listener.url)
      peers.push(peer)
      const far = await accepted.take()
      return { peer, far }
    },
    async [Symbol.asyncDispose]() {
      for (const { connection } of ends) connection.close('the test is over')
      listener.close()
      for (const peer of peers) peer.destroy()
      for (const { closed } of ends) if (closed.all.length === 0) await closed.take()
      await new Promise<void>((settled) => clock.after(SETTLE_MS, settled))
      for (const { closed } of ends) equal(closed.all.length, 1, 'closed exactly once')
    },
  }
}

function eventsOf({
  opened,
  received,
  drained,
  closed,
}: Omit<End, 'connection'>): ConnectionEvents {
  return {
    opened: () => opened.put(),
    received: (packet) => received.put(packet),
    drained: () => drained.put(),
    closed: (reason) => closed.put(reason),
  }
}

/** Bytes that tell their place in the order and are whole at both ends. */
function packet(index: number, bytes: number): Uint8Array {
  const made = new Uint8Array(bytes).fill(index & 0xff)
  new DataView(made.buffer).setUint32(0, index)
  return made
}

function isPacket(made: Uint8Array, index: number, bytes: number): boolean {
  const view = new DataView(made.buffer, made.byteOffset)
  return made.byteLength === bytes && view.getUint32(0) === index && made.at(-1) === (index & 0xff)
}

/** Sends all of them, obeying `full`; answers how much went before the first `full`. */
async function sendAll({ connection, drained }: End, packets: readonly Uint8Array[]) {
  let sent = 0
  let beforeFull: number | undefined
  for (const each of packets) {
    let result = connection.send(each)
    while (result === 'full') {
      beforeFull ??= sent
      await drained.take()
      result = connection.send(each)
    }
    equal(result, 'sent')
    sent += each.byteLength
  }
  return beforeFull
}

const floods = ['accepting', 'dialling'].map(
  (side): Case<Fixture> => [
    `the ${side} side says full before it holds much, and drops nothing`,
    async ({ pair }) => {
      const { near, far } = await pair()
      const [from, to] = side === 'dialling' ? [near, far] : [far, near]
      const packets = Array.from({ length: 96 }, (_, index) => packet(index, MIB))
      const beforeFull = await sendAll(from, packets)
      ok(beforeFull !== undefined, 'it said full')
      ok(beforeFull <= HELD_BYTES_MAX, `full after ${beforeFull} bytes`)
      for (const index of packets.keys()) ok(isPacket(await to.received.take(), index, MIB))
    },
  ],
)

const connectionCases: readonly Case<Fixture>[] = [
  [
    'packets of all sizes arrive whole and in order, both ways at once',
    async ({ pair }) => {
      const { near, far } = await pair()
      const large = Math.min(26 * MIB, MESSAGE_BYTES_MAX)
      const sizes = [4, 125, 126, 65_535, 65_536, 100 * KIB, 3 * MIB, large, 7]
      const packets = sizes.map((bytes, index) => packet(index, bytes))
      await Promise.all([sendAll(near, packets), sendAll(far, packets)])
      for (const end of [near, far]) {
        for (const [index, bytes] of sizes.entries()) {
          ok(isPacket(await end.received.take(), index, bytes), `packet ${index}`)
        }
      }
    },
  ],
  ...floods,
  ...(['accepting', 'dialling'] as const).map(
    (side): Case<Fixture> => [
      `a small packet of the ${side} side does not wait for the one before to be acknowledged`,
      async ({ clock, pair }) => {
        const { near, far } = await pair()
        const [from, to] = side === 'dialling' ? [near, far] : [far, near]
        const rounds: number[] = []
        for (let round = 0; round < 25; round++) {
          const begun = clock.now()
          from.connection.send(packet(0, 100))
          await new Promise<void>((sent) => clock.after(1, sent))
          from.connection.send(packet(1, 100))
          await to.received.take()
          await to.received.take()
          // The answer takes an acknowledgement along: the next one is delayed.
          to.connection.send(packet(2, 100))
          await from.received.take()
          rounds.push(clock.now() - begun)
        }
        // Nagle's algorithm and delayed acknowledgements together make it 40 ms.
        const median = rounds.sort((a, b) => a - b)[12] ?? 0
        ok(median < 20, `${median} ms`)
      },
    ],
  ),
  [
    'a peer that never reads costs bounded memory, and the connection can be closed',
    async ({ stranger }) => {
      const { peer, far } = await stranger()
      peer.pause()
      const each = packet(0, MIB)
      let held = 0
      while (far.connection.send(each) === 'sent') held += each.byteLength
      ok(held <= HELD_BYTES_MAX, `${held} bytes held`)
      equal(far.connection.send(each), 'full')
      far.connection.close('it never reads')
      equal(await far.closed.take(), 'it never reads')
      equal(far.connection.send(each), 'closed')
    },
  ],
  [
    'a close is told to both ends, with its reason; nothing can be sent after it',
    async ({ pair }) => {
      const { near, far } = await pair()
      near.connection.close('as agreed')
      equal(await near.closed.take(), 'as agreed')
      equal(await far.closed.take(), 'as agreed')
      for (const { connection } of [near, far]) equal(connection.send(packet(0, 4)), 'closed')
      near.connection.close('again')
    },
  ],
  [
    'what was sent before a close arrives before it',
    async ({ pair }) => {
      const { near, far } = await pair()
      far.connection.send(packet(0, MIB))
      far.connection.close('done')
      await near.closed.take()
      ok(isPacket(await near.received.take(), 0, MIB))
    },
  ],
  [
    'a reason of any length closes all the same',
    async ({ pair }) => {
      const { near, far } = await pair()
      far.connection.close('é'.repeat(500))
      match(await near.closed.take(), /^é{10,61}$/)
    },
  ],
  [
    'a peer that is gone without a word closes it',
    async ({ stranger }) => {
      const { peer, far } = await stranger()
      peer.destroy()
      await far.closed.take()
      equal(far.connection.send(packet(0, 4)), 'closed')
    },
  ],
  [
    'a listener that closes ends its connections, and nobody new gets in',
    async ({ listener, pair, dial }) => {
      const { near, far } = await pair()
      listener.close()
      await Promise.all([near.closed.take(), far.closed.take()])
      const late = dial()
      await late.closed.take()
      equal(late.opened.all.length, 0)
    },
  ],
  [
    'a listener that closes is not held up by a peer that never reads',
    async ({ listener, stranger }) => {
      const { peer, far } = await stranger()
      peer.pause()
      while (far.connection.send(packet(0, MIB)) === 'sent');
      listener.close()
      await far.closed.take()
    },
  ],
  [
    'where nobody listens, and where the URL is none, it is closed and was never open',
    async ({ dial }) => {
      for (const url of ['ws://127.0.0.1:1', 'nonsense']) {
        const end = dial(url)
        await end.closed.take()
        equal(end.opened.all.length, 0)
      }
    },
  ],
  [
    'a packet above the limit is refused',
    async ({ stranger }) => {
      const { peer, far } = await stranger()
      peer.send(frame(opcodes.binary, new Uint8Array(MESSAGE_BYTES_MAX + 1)))
      await far.closed.take()
      equal(far.received.all.length, 0)
    },
  ],
  ...(['text', 'unknown'] as const).map(
    (kind): Case<Fixture> => [
      `the accepting side refuses a frame of ${kind} kind, and reads nothing after it`,
      async ({ stranger }) => {
        const { peer, far } = await stranger()
        peer.send(frame(opcodes[kind], new TextEncoder().encode('hello')))
        peer.send(frame(opcodes.binary, new Uint8Array(4)))
        await Promise.all([far.closed.take(), peer.ended])
        equal(far.received.all.length, 0)
      },
    ],
  ),
  [
    'the dialling side refuses text, and reads nothing after it',
    async ({ dial }) => {
      const listener = await listenRaw()
      const end = dial(listener.url)
      const peer = await listener.accept()
      await end.opened.take()
      peer.send(frame(opcodes.text, new TextEncoder().encode('hello'), { isMasked: false }))
      peer.send(frame(opcodes.binary, new Uint8Array(4), { isMasked: false }))
      equal(await end.closed.take(), 'a message that is no packet')
      equal(end.received.all.length, 0)
      peer.destroy()
      listener.close()
    },
  ],
  [
    'a plain request is told that this port speaks WebSocket',
    async ({ listener }) => {
      const response = await fetch(listener.url.replace('ws:', 'http:'))
      equal(response.status, 426)
      equal(await response.text(), 'this port speaks WebSocket\n')
    },
  ],
  [
    'a port that is taken is refused by name',
    async ({ transport, listener }) => {
      const { hostname, port } = new URL(listener.url)
      const second = transport.listen({ hostname, port: Number(port), accept: () => never })
      match(await messageOf(second), /cannot listen on 127\.0\.0\.1:\d+: choose another port/)
    },
  ],
]

const never: ConnectionEvents = { opened() {}, received() {}, drained() {}, closed() {} }

export const connections = group('a connection', open, connectionCases)
