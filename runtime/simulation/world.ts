// A world of its own: virtual time, a network, disks and processes, all from one seed. The kit builds
// systems in it; whoever wants to build them by hand starts here.
import type { Environment } from '../environment.ts'
import { type SimulatedDisk, simulatedDisk } from './disk.ts'
import { createNetwork, type SimulatedNetwork } from './network.ts'
import { createProcesses, type SimulatedProcesses } from './processes.ts'
import { type VirtualClock, virtualClock } from './virtual-clock.ts'

export interface WorldOptions {
  /** Default 1. Latencies, start-up times and the chance of every member follow from it. */
  readonly seed?: string | number
  /** Of the network, one way. Default 1. */
  readonly latencyMs?: number
  /** Default 0. */
  readonly jitterMs?: number
  /** Until a process that was spawned begins to run. Default 50; half of it is drawn by chance. */
  readonly spawnMs?: number
  /** Replaces parts of a member's environment, e.g. its compute threads or its disk. */
  readonly environment?: (member: string, incarnation: number) => Partial<Environment>
}

export interface World {
  readonly clock: VirtualClock
  readonly network: SimulatedNetwork
  readonly processes: SimulatedProcesses
  /** A member's disk: each has its own, and keeps it through all its lives. */
  disk(member: string): SimulatedDisk
  /** Of a new process of its own. */
  environment(member: string, incarnation?: number): Environment
}

export function createWorld(options: WorldOptions = {}): World {
  const { seed = 1, latencyMs = 1, jitterMs = 0, spawnMs = 50 } = options
  const clock = virtualClock()
  const network = createNetwork({ clock, seed, latencyMs, jitterMs })
  const disks = new Map<string, SimulatedDisk>()

  function disk(member: string): SimulatedDisk {
    const found = disks.get(member) ?? simulatedDisk()
    disks.set(member, found)
    return found
  }

  const adapt = options.environment ?? (() => ({}))
  const processes = createProcesses({ clock, network, seed, diskOf: disk, adapt }, { spawnMs })
  return {
    clock,
    network,
    processes,
    disk,
    environment: (member, incarnation = 1) =>
      processes.begin().environment({ member, incarnation }),
  }
}
