// Two links with a pipe between them that a test can clog, cut and mend; packets move when told.
import type { Envelope } from '../../protocol/envelope.ts'
import { limits as defaults, type Limits } from '../../protocol/limits.ts'
import type { Random } from '../../protocol/random.ts'
import { virtualClock } from '../../runtime/simulation/virtual-clock.ts'
import type { Connection } from '../../runtime/transport/connection.ts'
import { createLink, type Link } from '../../runtime/transport/link.ts'

export interface End {
  readonly link: Link
  readonly received: Envelope[]
  /** Why its session is over. */
  readonly ended: string[]
  /** Packets on their way to the other end. */
  readonly sent: Uint8Array[]
  /** So many packets its connection still takes; then it says `full`. */
  room: number
}

export interface Pipe {
  readonly a: End
  readonly b: End
  /** Lets what was sent, and the microtasks after it, have their turn. */
  settle(): Promise<void>
  /** Lets time pass: what nothing else carries is acknowledged after a while. */
  pass(ms: number): Promise<void>
  /** Delivers the oldest packet from that end; false where there is none. */
  deliver(from: End): boolean
  /** Packets on their way are lost; then both ends meet again. */
  cut(): void
  /** Steps in the order that chance gives until nothing moves. */
  run(random?: Random): Promise<void>
}

export function createPipe(limits: Partial<Limits> = {}): Pipe {
  const clock = virtualClock()
  const session = 7
  const createEnd = (): End => {
    const received: Envelope[] = []
    const ended: string[] = []
    const link = createLink({
      session,
      clock,
      limits: { ...defaults, ...limits },
      resolve: (address) => ({ address, tell: () => 'accepted' }) as never,
      received: (envelope) => void received.push(envelope),
      disconnected: () => {},
      ended: (cause) => void ended.push(cause),
    })
    return { link, received, ended, sent: [], room: Number.POSITIVE_INFINITY }
  }
  const a = createEnd()
  const b = createEnd()
  const connections = new Map<End, Connection>()

  function connect(end: End): Connection {
    const connection: Connection = {
      send(packet) {
        if (connections.get(end) !== connection) return 'closed'
        if (end.room <= 0) return 'full'
        end.room -= 1
        // As a socket does: what is written later does not change what was sent.
        end.sent.push(packet.slice())
        return 'sent'
      },
      close: () => connections.delete(end),
    }
    connections.set(end, connection)
    return connection
  }

  function meet(): void {
    const [fromA, fromB] = [a.link.received, b.link.received]
    b.link.attach(connect(b), fromA)
    a.link.attach(connect(a), fromB)
  }

  function deliver(from: End): boolean {
    const packet = from.sent.shift()
    const to = from === a ? b : a
    const connection = connections.get(to)
    if (packet && connection) to.link.receive(connection, packet)
    return packet !== undefined
  }

  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 4; turn++) await undefined
  }

  meet()
  return {
    a,
    b,
    settle,
    pass: clock.advance,
    deliver,
    cut() {
      for (const end of [a, b]) {
        const connection = connections.get(end)
        connections.delete(end)
        end.sent.length = 0
        if (connection) end.link.detach(connection, 'cut')
      }
      meet()
    },
    async run(random) {
      for (let idle = 0; idle < 3; ) {
        await settle()
        const isAFirst = (random?.below(2) ?? 0) === 0
        const hasMoved = deliver(isAFirst ? a : b) || deliver(isAFirst ? b : a)
        if (hasMoved) continue
        for (const end of [a, b]) {
          end.room = Number.POSITIVE_INFINITY
          const connection = connections.get(end)
          if (connection) end.link.drained(connection)
        }
        // What nothing else carries is acknowledged after a while.
        await clock.advance(defaults.acknowledgeMs)
        idle += 1
      }
    },
  }
}
