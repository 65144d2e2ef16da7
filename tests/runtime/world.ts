// A world for tests of the runtime: a virtual clock, seeded chance, and connections in memory that can
// be cut, held back and counted.
import { randomFor } from '../../protocol/random.ts'
import type { Environment } from '../../runtime/environment.ts'
import { type VirtualClock, virtualClock } from '../../runtime/simulation/virtual-clock.ts'
import type {
  Connection,
  ConnectionEvents,
  ListenOptions,
  Transport,
} from '../../runtime/transport/connection.ts'

export interface World {
  readonly clock: VirtualClock
  /** Packets that have been carried, both ways, since the start. */
  readonly carried: Uint8Array[]
  /** Connections that are open now. */
  readonly open: number
  environment(seed: string): Environment
  /** Closes every connection; packets on their way are lost. */
  cut(): void
  /** While true, packets are neither delivered nor lost, and nobody hears of it. */
  freeze(isFrozen: boolean): void
  /** While true, connections cannot be made. */
  partition(isPartitioned: boolean): void
}

const LATENCY_MS = 1

export function createWorld(): World {
  const clock = virtualClock()
  const listeners = new Map<string, ListenOptions>()
  const carried: Uint8Array[] = []
  const cuts = new Set<() => void>()
  let held: (() => void)[] | undefined
  let isPartitioned = false
  let ports = 0

  const later = (run: () => void): void =>
    void clock.after(LATENCY_MS, () => {
      if (held) held.push(run)
      else run()
    })

  function connect(url: string, events: ConnectionEvents): Connection {
    let isOpen = false
    let isClosed = false
    let near: ConnectionEvents | undefined = events
    let far: ConnectionEvents | undefined

    // What was sent before an orderly close still arrives; a cut loses it.
    const close = (reason: string): void => {
      if (isClosed) return
      isClosed = true
      cuts.delete(cut)
      const ends = [near, far]
      later(() => {
        near = far = undefined
        for (const end of ends) end?.closed(reason)
      })
    }
    const cut = (): void => {
      close('cut')
      near = far = undefined
    }
    const end = (peer: () => ConnectionEvents | undefined): Connection => ({
      send(packet) {
        if (isClosed || !isOpen) return 'closed'
        const copy = packet.slice()
        carried.push(copy)
        later(() => peer()?.received(copy))
        return 'sent'
      },
      close,
    })
    cuts.add(cut)
    later(() => {
      const listener = listeners.get(url)
      if (!listener || isPartitioned) return close('refused')
      isOpen = true
      far = listener.accept(end(() => near))
      far.opened()
      near?.opened()
    })
    return end(() => far)
  }

  const transport: Transport = {
    async listen(options) {
      const url = `memory:${ports++}`
      listeners.set(url, options)
      return { url, close: () => listeners.delete(url) }
    },
    connect,
  }
  const absent = (): never => {
    throw new Error('not in this world')
  }

  return {
    clock,
    carried,
    get open() {
      return cuts.size
    },
    environment: (seed) => ({
      clock,
      transport,
      random: randomFor('world', seed),
      disk: absent as never,
      processes: { spawn: absent, self: seed, isAlive: () => false },
      compute: { start: absent },
    }),
    cut: () => [...cuts].forEach((cut) => cut()),
    freeze(isFrozen) {
      const released = isFrozen ? [] : (held ?? [])
      held = isFrozen ? (held ?? []) : undefined
      for (const run of released) run()
    },
    partition(parted) {
      isPartitioned = parted
    },
  }
}
