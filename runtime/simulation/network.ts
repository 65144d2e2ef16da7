// The network in memory: connections between named members, with latency and jitter drawn from a seed, and
// with faults. It behaves as TCP does: packets of one connection arrive whole and in order, or the
// connection ends. Bounded: a sender above `bufferBytesMax` is told `full`.
import { assert } from '../../protocol/assert.ts'
import type {
  Connection,
  ConnectionEvents,
  ListenOptions,
  Transport,
} from '../transport/connection.ts'
import { createPaths, EVERYONE, isWithin } from './paths.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface NetworkOptions {
  readonly clock: VirtualClock
  readonly seed: string | number
  /** One way. Default 1. */
  readonly latencyMs?: number
  /** Up to so much more for each packet, by chance; order stays. Default 0. */
  readonly jitterMs?: number
  /** On their way in one direction of one connection. Default 8 MiB. */
  readonly bufferBytesMax?: number
}

export interface PathOptions {
  /** Only from the first to the second. Default: both directions. */
  readonly oneWay?: boolean
}

/**
 * Faults name two members, or '*' for every one, which is also the default: `cut()` cuts everything. The
 * closest name wins. Each holds until `heal`.
 */
export interface NetworkFaults {
  /** Connections that are open end at once, and both ends hear of it; packets on their way are lost. */
  cut(a?: string, b?: string): void
  /** Packets wait on their way, and attempts to connect with them: none is lost, nobody hears of it. */
  clog(a?: string, b?: string, options?: PathOptions): void
  /**
   * Packets and attempts are lost, and nobody hears of it. A connection that lost something is reset by
   * `heal`, where its ends have not given it up before.
   */
  partition(a?: string, b?: string, options?: PathOptions): void
  /** Attempts to connect are refused with this chance, 1 by default; what is connected stays so. */
  refuse(a?: string, b?: string, options?: PathOptions & { readonly chance?: number }): void
  /** Each connection carries so many bytes a second, one after the other. */
  slow(a: string, b: string, options: PathOptions & { readonly bytesPerSecond: number }): void
  delay(
    a: string,
    b: string,
    options: PathOptions & { readonly latencyMs: number; readonly jitterMs?: number },
  ): void
  /** Ends the faults between the two; those that were set with '*' end by '*' only. */
  heal(a?: string, b?: string): void
}

export interface SimulatedNetwork extends NetworkFaults {
  /** Connections that are open, or being opened, now. */
  readonly connections: number
  /** Packets handed to the network since the start, and their bytes. */
  readonly packets: number
  readonly bytes: number
  /** The network as one process of that member has it. */
  attach(member: string): NetworkPort
}

export interface NetworkPort {
  readonly transport: Transport
  /** A stopped process: what comes for it waits, what it has sent travels on. */
  freeze(): void
  thaw(): void
  /** The process is gone: its listeners and connections with it, and their other ends hear of it. */
  close(): void
}

const CONNECTIONS_MAX = 100_000

interface Port {
  readonly member: string
  isFrozen: boolean
  isGone: boolean
}

/** One side of a connection, and what is on its way to it. */
interface End {
  readonly port: Port
  readonly from: string
  events: ConnectionEvents | undefined
  isOpen: boolean
  isClosed: boolean
  /** Was told `full`. */
  isWaiting: boolean
  readonly inbox: Parcel[]
  inboxBytes: number
  /** When a slow path has carried all of it. */
  carriedAt: number
  lastDueAt: number
  stopClock: () => void
}

interface Parcel {
  dueAt: number
  readonly bytes: number
  /** The end of the connection itself: neither held nor lost on the way. */
  readonly isCertain: boolean
  readonly arrive: () => void
}

interface Wire {
  readonly near: End
  readonly far: End
  /** A partition has lost something of it. */
  isBroken: boolean
}

export function createNetwork(options: NetworkOptions): SimulatedNetwork {
  const { clock, seed, latencyMs = 1, jitterMs = 0, bufferBytesMax = 8 << 20 } = options
  const paths = createPaths(seed, { latencyMs, jitterMs })
  const listeners = new Map<string, { readonly port: Port; readonly options: ListenOptions }>()
  const wires = new Set<Wire>()
  let packets = 0
  let bytes = 0
  let urls = 0

  const isParted = (end: End): boolean => paths.parted.get(end.from, end.port.member) === true
  const isHeld = (end: End, parcel: Parcel): boolean =>
    end.port.isFrozen ||
    (!parcel.isCertain && paths.clogged.get(end.from, end.port.member) === true)

  /** Puts something on its way to an end. */
  function dispatch(wire: Wire, end: End, parcelBytes: number, arrive: () => void): void {
    if (end.isClosed) return
    if (isParted(end)) {
      wire.isBroken = true
      return
    }
    const speed = paths.bytesPerSecond.get(end.from, end.port.member)
    const carryMs = speed === undefined ? 0 : (1_000 * parcelBytes) / speed
    end.carriedAt = Math.max(clock.now(), end.carriedAt) + carryMs
    const delayMs = paths.delayMs(end.from, end.port.member)
    end.lastDueAt = Math.max(end.lastDueAt, end.carriedAt + delayMs)
    end.inboxBytes += parcelBytes
    end.inbox.push({ dueAt: end.lastDueAt, bytes: parcelBytes, isCertain: false, arrive })
    if (end.inbox.length === 1) arm(wire, end)
  }

  /** A timer for what arrives next, unless the path or the process holds it. */
  function arm(wire: Wire, end: End): void {
    end.stopClock()
    const [parcel] = end.inbox
    if (!parcel || isHeld(end, parcel)) return
    const waitMs = Math.max(0, parcel.dueAt - clock.now())
    end.stopClock = clock.after(waitMs, () => {
      // Sums of times may differ from them by a rounding error.
      parcel.dueAt = Math.min(parcel.dueAt, clock.now())
      deliver(wire, end)
    })
  }

  function deliver(wire: Wire, end: End): void {
    const { inbox } = end
    for (let parcel = inbox[0]; parcel && !isHeld(end, parcel); parcel = inbox[0]) {
      if (parcel.dueAt > clock.now()) break
      inbox.shift()
      end.inboxBytes -= parcel.bytes
      if (isParted(end) && !parcel.isCertain) wire.isBroken = true
      else parcel.arrive()
      tellDrained(wire, end)
    }
    arm(wire, end)
  }

  function empty(end: End): void {
    end.stopClock()
    end.inbox.length = 0
    end.inboxBytes = 0
  }

  /** After a change of the path: what waits is not later than what would be sent now. */
  function hasten(wire: Wire, end: End): void {
    if (paths.bytesPerSecond.get(end.from, end.port.member) !== undefined) return
    end.carriedAt = clock.now()
    end.lastDueAt = end.carriedAt + paths.delayMs(end.from, end.port.member)
    for (const parcel of end.inbox) parcel.dueAt = Math.min(parcel.dueAt, end.lastDueAt)
    arm(wire, end)
  }

  function tellDrained(wire: Wire, receiver: End): void {
    const { near, far } = wire
    const sender = receiver === near ? far : near
    if (!sender.isWaiting || receiver.inboxBytes > bufferBytesMax) return
    sender.isWaiting = false
    dispatch(wire, sender, 0, () => {
      if (!sender.isClosed) sender.events?.drained()
    })
  }

  function connectionOf(wire: Wire, end: End, other: End): Connection {
    return {
      send(packet) {
        if (end.isClosed || !end.isOpen) return 'closed'
        if (other.inboxBytes > bufferBytesMax) {
          end.isWaiting = true
          return 'full'
        }
        const copy = packet.slice()
        packets += 1
        bytes += copy.byteLength
        dispatch(wire, other, copy.byteLength, () => {
          if (!other.isClosed) other.events?.received(copy)
        })
        return 'sent'
      },
      close(reason) {
        if (end.isClosed) return
        closeEnd(end, reason)
        // What was sent before still arrives.
        dispatch(wire, other, 0, () => hearOfEnd(wire, other, reason))
        forgetIfOver(wire)
      },
    }
  }

  function hearOfEnd(wire: Wire, end: End, reason: string): void {
    closeEnd(end, reason)
    forgetIfOver(wire)
  }

  function closeEnd(end: End, reason: string): void {
    if (end.isClosed) return
    end.isClosed = true
    empty(end)
    end.events?.closed(reason)
  }

  function forgetIfOver(wire: Wire): void {
    if (wire.near.isClosed && wire.far.isClosed) wires.delete(wire)
  }

  /** Both ends hear of it, whatever the state of the path; what is on its way is lost. */
  function reset(wire: Wire, reason: string): void {
    wire.isBroken = false
    for (const end of [wire.near, wire.far]) {
      empty(end)
      if (end.isClosed) continue
      const dueAt = clock.now() + paths.delayMs(end.from, end.port.member)
      const arrive = (): void => hearOfEnd(wire, end, reason)
      end.inbox.push({ dueAt, bytes: 0, isCertain: true, arrive })
      arm(wire, end)
    }
    forgetIfOver(wire)
  }

  function connect(port: Port, url: string, events: ConnectionEvents): Connection {
    const target = memberOf(url)
    const near = endOf(port, target, events)
    const far = endOf(listeners.get(url)?.port ?? absentPort(target), port.member, undefined)
    const wire: Wire = { near, far, isBroken: false }
    assert(wires.size < CONNECTIONS_MAX, `at most ${CONNECTIONS_MAX} connections`)
    if (port.isGone) return connectionOf(wire, near, far)
    wires.add(wire)
    dispatch(wire, far, 0, () => {
      const listener = listeners.get(url)
      if (near.isClosed && !far.isClosed) return hearOfEnd(wire, far, 'gone before it was open')
      const chance = paths.refusing.get(port.member, target) ?? 0
      const isRefused = chance > 0 && paths.chance(port.member, target).next() < chance
      if (!listener || isRefused || far.isClosed) {
        far.isClosed = true
        return dispatch(wire, near, 0, () => hearOfEnd(wire, near, 'refused'))
      }
      far.isOpen = true
      far.events = listener.options.accept(connectionOf(wire, far, near))
      far.events.opened()
      dispatch(wire, near, 0, () => {
        if (near.isClosed) return
        near.isOpen = true
        near.events?.opened()
      })
    })
    return connectionOf(wire, near, far)
  }

  function attach(member: string): NetworkPort {
    const port: Port = { member, isFrozen: false, isGone: false }
    const ends = (): (readonly [Wire, End, End])[] =>
      [...wires].flatMap((wire) => [
        ...(wire.near.port === port ? [[wire, wire.near, wire.far] as const] : []),
        ...(wire.far.port === port ? [[wire, wire.far, wire.near] as const] : []),
      ])
    return {
      transport: {
        async listen(listening) {
          const url = `memory://${member}:${++urls}`
          if (!port.isGone) listeners.set(url, { port, options: listening })
          return { url, close: () => listeners.delete(url) }
        },
        connect: (url, events) => connect(port, url, events),
      },
      freeze() {
        port.isFrozen = true
      },
      thaw() {
        port.isFrozen = false
        for (const [wire, end] of ends()) arm(wire, end)
      },
      close() {
        port.isGone = true
        for (const [url, listener] of [...listeners]) {
          if (listener.port === port) listeners.delete(url)
        }
        for (const [wire, end, other] of ends()) {
          end.events = undefined
          closeEnd(end, 'gone')
          dispatch(wire, other, 0, () => hearOfEnd(wire, other, 'reset: its process is gone'))
          forgetIfOver(wire)
        }
      },
    }
  }

  const between = (a: string, b: string): Wire[] =>
    [...wires].filter(({ near, far }) => {
      const [one, other] = [near.port.member, far.port.member]
      return isWithin(one, other, a, b) || isWithin(other, one, a, b)
    })

  return {
    get connections() {
      return wires.size
    },
    get packets() {
      return packets
    },
    get bytes() {
      return bytes
    },
    attach,
    cut(a = EVERYONE, b = EVERYONE) {
      for (const wire of between(a, b)) reset(wire, 'cut')
    },
    clog: (a = EVERYONE, b = EVERYONE, { oneWay = false } = {}) =>
      paths.clogged.set(a, b, true, oneWay),
    partition: (a = EVERYONE, b = EVERYONE, { oneWay = false } = {}) =>
      paths.parted.set(a, b, true, oneWay),
    refuse: (a = EVERYONE, b = EVERYONE, { oneWay = false, chance = 1 } = {}) =>
      paths.refusing.set(a, b, chance, oneWay),
    slow(a, b, { bytesPerSecond, oneWay = false }) {
      assert(bytesPerSecond > 0, 'a slow path still carries something')
      paths.bytesPerSecond.set(a, b, bytesPerSecond, oneWay)
    },
    delay(a, b, { latencyMs: longer, jitterMs: by = 0, oneWay = false }) {
      assert(longer >= 0 && by >= 0, 'a delay is not negative')
      paths.delays.set(a, b, { latencyMs: longer, jitterMs: by }, oneWay)
    },
    heal(a = EVERYONE, b = EVERYONE) {
      paths.heal(a, b)
      for (const wire of [...wires]) {
        const { near, far } = wire
        if (wire.isBroken && !isParted(near) && !isParted(far)) reset(wire, 'reset by a partition')
        hasten(wire, near)
        hasten(wire, far)
      }
    },
  }
}

function endOf(port: Port, from: string, events: ConnectionEvents | undefined): End {
  return {
    port,
    from,
    events,
    isOpen: false,
    isClosed: false,
    isWaiting: false,
    inbox: [],
    inboxBytes: 0,
    carriedAt: 0,
    lastDueAt: 0,
    stopClock: () => {},
  }
}

/** Nobody listens there: the attempt travels all the same. */
const absentPort = (member: string): Port => ({ member, isFrozen: false, isGone: true })

function memberOf(url: string): string {
  return /^memory:\/\/(.+):\d+$/.exec(url)?.[1] ?? url
}
