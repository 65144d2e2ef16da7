// The actor framework beside its peers. The whole of it takes under five minutes; a smoke size runs with
// the tests.
import {
  realSizes as realLinks,
  linkRows,
  type LinkSizes,
  smokeSizes as smokeLinks,
} from './links.ts'
import { memoryRows } from './memory.ts'
import { processRows } from './processes.ts'
import type { Bench, Row } from './rows.ts'
import { measureWorkloads, realWorkloads, type WorkloadSizes } from './workloads.ts'

export interface ActorSizes {
  readonly workloads: WorkloadSizes
  /** Idle actors in one process. */
  readonly actors: readonly number[]
  /** Processes that are started and killed. */
  readonly processes: number
  /** Between two processes. */
  readonly links: LinkSizes
}

const realSizes: ActorSizes = {
  workloads: {
    rounds: 5,
    warmMs: 600,
    repeats: 5,
    workloads: realWorkloads,
    withPeers: true,
    idleProcesses: 100_000,
  },
  actors: [100_000, 1_000_000],
  processes: 12,
  links: realLinks,
}

/** Enough to see that all of it still works; its figures mean nothing. */
export const smokeSizes: ActorSizes = {
  workloads: {
    rounds: 1,
    warmMs: 0,
    repeats: 1,
    workloads: realWorkloads.map((workload) => ({ ...workload, iterations: 1 })),
    withPeers: false,
    idleProcesses: 100,
  },
  actors: [2_000],
  processes: 1,
  links: smokeLinks,
}

export const actorsBench: Bench = () => measureActors(realSizes)

export async function measureActors(sizes: ActorSizes): Promise<readonly Row[]> {
  const { rows, idlePeers } = await measureWorkloads(sizes.workloads)
  // One after the other: each wants the machine to itself.
  return [
    ...rows,
    ...(await memoryRows(sizes.actors, idlePeers)),
    ...(await processRows(sizes.processes)),
    ...(await linkRows(sizes.links)),
  ]
}
