import { describe, expect, test } from 'bun:test'
import { createNetwork, type NetworkOptions } from '../../../runtime/simulation/network.ts'
import { virtualClock } from '../../../runtime/simulation/virtual-clock.ts'
import type { Connection, ConnectionEvents } from '../../../runtime/transport/connection.ts'

/** One end of a connection: what it has heard, with the time. */
interface Side {
  readonly heard: string[]
  connection: Connection
  isDrained: boolean
}

/** A connection from a to b; the dialling end first. */
async function setUp(options: Partial<NetworkOptions> = {}) {
  const clock = virtualClock()
  const network = createNetwork({ clock, seed: 1, ...options })
  const [portA, portB] = [network.attach('a'), network.attach('b')]
  const sideOf = (): [Side, ConnectionEvents] => {
    const side: Side = { heard: [], connection: undefined as never, isDrained: false }
    const hear = (what: string): void => void side.heard.push(`${what} @${clock.now()}`)
    return [
      side,
      {
        opened: () => hear('opened'),
        received: (packet) => hear(`${packet[0]}`),
        drained: () => {
          side.isDrained = true
        },
        closed: hear,
      },
    ]
  }
  const accepted: Side[] = []
  const { url, close } = await portB.transport.listen({
    hostname: '',
    port: 0,
    accept(connection) {
      const [side, events] = sideOf()
      side.connection = connection
      accepted.push(side)
      return events
    },
  })
  const dial = (): Side => {
    const [side, events] = sideOf()
    side.connection = portA.transport.connect(url, events)
    return side
  }
  const near = dial()
  await clock.advance(10 + 2 * (options.jitterMs ?? 0))
  return { clock, network, portA, portB, near, far: accepted[0]!, accepted, dial, close }
}

const packet = (first: number, bytes = 1): Uint8Array => new Uint8Array(bytes).fill(first)
const heardOf = (side: Side): string[] => side.heard.map((what) => what.replace(/ @.*/, ''))

describe('a connection', () => {
  test('opens at the listener first, carries packets both ways, and ends in order', async () => {
    const { clock, near, far, network } = await setUp()
    expect(far.heard).toEqual(['opened @1'])
    expect(near.heard).toEqual(['opened @2'])
    const reused = packet(1)
    near.connection.send(reused)
    reused[0] = 9
    far.connection.send(packet(2))
    near.connection.close('enough')
    expect(near.connection.send(packet(3))).toBe('closed')
    await clock.advance(5)
    expect(far.heard.slice(1)).toEqual(['1 @11', 'enough @11'])
    // Whoever has closed hears no more.
    expect(near.heard.slice(1)).toEqual(['enough @10'])
    expect(network.connections).toBe(0)
  })

  test('keeps its order whatever the jitter', async () => {
    const { clock, near, far } = await setUp({ jitterMs: 50 })
    const sent = Array.from({ length: 50 }, (_, index) => index)
    for (const index of sent) {
      near.connection.send(packet(index))
      await clock.advance(1)
    }
    await clock.advance(100)
    expect(heardOf(far)).toEqual(['opened', ...sent.map(String)])
  })

  test('to nobody, or by refusal, closes', async () => {
    const { clock, network, dial, close } = await setUp()
    network.refuse('a', 'b')
    const refused = dial()
    await clock.advance(5)
    expect(heardOf(refused)).toEqual(['refused'])
    network.heal()
    close()
    const absent = dial()
    await clock.advance(5)
    expect(heardOf(absent)).toEqual(['refused'])
    expect(network.connections).toBe(1)
  })

  test('says full above its bytes, and drained when it carries again', async () => {
    const { clock, network, near, far } = await setUp({ bufferBytesMax: 100 })
    network.clog('a', 'b', { oneWay: true })
    expect(near.connection.send(packet(1, 101))).toBe('sent')
    expect(near.connection.send(packet(2))).toBe('full')
    expect(far.connection.send(packet(3))).toBe('sent')
    await clock.advance(50)
    expect(near.isDrained).toBe(false)
    network.heal('a', 'b')
    await clock.advance(5)
    expect(near.isDrained).toBe(true)
    expect(near.connection.send(packet(4))).toBe('sent')
    await clock.advance(5)
    expect(heardOf(far)).toEqual(['opened', '1', '4'])
  })
})

describe('faults', () => {
  test('a cut loses what is on its way; both ends hear of it', async () => {
    const { clock, network, near, far } = await setUp()
    near.connection.send(packet(1))
    network.cut('b', 'a')
    await clock.advance(5)
    expect(heardOf(far)).toEqual(['opened', 'cut'])
    expect(heardOf(near)).toEqual(['opened', 'cut'])
    expect(near.connection.send(packet(1))).toBe('closed')
  })

  test('a clog holds, in its direction, and loses nothing', async () => {
    const { clock, network, near, far } = await setUp()
    network.clog('a', 'b', { oneWay: true })
    near.connection.send(packet(1))
    far.connection.send(packet(2))
    await clock.advance(100)
    near.connection.send(packet(3))
    network.heal('b', 'a')
    expect(heardOf(near)).toEqual(['opened', '2'])
    await clock.advance(5)
    expect(far.heard.slice(1)).toEqual(['1 @110', '3 @111'])
  })

  test('a partition loses silently; what lost something is reset when it heals', async () => {
    const { clock, network, near, far, dial } = await setUp()
    network.partition('a', 'b')
    near.connection.send(packet(1))
    const dialled = dial()
    await clock.advance(100)
    expect([...heardOf(near), ...heardOf(far), ...heardOf(dialled)]).toEqual(['opened', 'opened'])
    network.heal()
    await clock.advance(5)
    for (const side of [near, far])
      expect(heardOf(side)).toEqual(['opened', 'reset by a partition'])
    expect(heardOf(dialled)).toEqual(['reset by a partition'])
    expect(network.connections).toBe(0)
  })

  test('a partition that lost nothing leaves the connection; one way lets the other way pass', async () => {
    const { clock, network, near, far } = await setUp()
    network.partition('a', 'b', { oneWay: true })
    far.connection.send(packet(1))
    await clock.advance(5)
    network.heal()
    near.connection.send(packet(2))
    await clock.advance(5)
    expect([heardOf(near), heardOf(far)]).toEqual([
      ['opened', '1'],
      ['opened', '2'],
    ])
  })

  test('the closest name wins, and "*" is ended by "*" only', async () => {
    const { clock, network, near, far } = await setUp()
    network.delay('*', '*', { latencyMs: 30 })
    network.delay('a', '*', { latencyMs: 20, oneWay: true })
    network.delay('a', 'b', { latencyMs: 10, oneWay: true })
    network.heal('a', 'x')
    near.connection.send(packet(1))
    far.connection.send(packet(2))
    await clock.advance(50)
    expect([far.heard.at(-1), near.heard.at(-1)]).toEqual(['1 @20', '2 @40'])
    network.heal('a', 'b')
    near.connection.send(packet(3))
    await clock.advance(50)
    expect(far.heard.at(-1)).toBe('3 @80')
    network.heal()
    near.connection.send(packet(4))
    await clock.advance(50)
    expect(far.heard.at(-1)).toBe('4 @111')
  })

  test('a slow path carries so many bytes a second', async () => {
    const { clock, network, near, far } = await setUp()
    network.slow('a', 'b', { bytesPerSecond: 1_000 })
    near.connection.send(packet(1, 100))
    near.connection.send(packet(2, 50))
    await clock.advance(500)
    expect(far.heard.slice(1)).toEqual(['1 @111', '2 @161'])
  })
})

describe('a process', () => {
  test('that is frozen hears later; that is gone is heard of by its peers', async () => {
    const { clock, portB, near, far, accepted, dial } = await setUp()
    portB.freeze()
    near.connection.send(packet(1))
    const waiting = dial()
    await clock.advance(100)
    expect([heardOf(far), heardOf(waiting)]).toEqual([['opened'], []])
    portB.thaw()
    await clock.advance(5)
    expect([heardOf(far), heardOf(waiting)]).toEqual([['opened', '1'], ['opened']])
    portB.close()
    const late = dial()
    await clock.advance(5)
    expect(heardOf(near)).toEqual(['opened', 'reset: its process is gone'])
    expect(heardOf(late)).toEqual(['refused'])
    expect(accepted.map(heardOf)).toEqual([['opened', '1'], ['opened']])
  })

  test('that is gone behind a partition is not heard of until that heals', async () => {
    const { clock, network, portB, near } = await setUp()
    network.partition('a', 'b')
    portB.close()
    await clock.advance(1_000)
    expect(heardOf(near)).toEqual(['opened'])
    network.heal()
    await clock.advance(5)
    expect(near.heard).toHaveLength(2)
  })
})
