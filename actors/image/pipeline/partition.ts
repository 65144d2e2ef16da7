// How the network of a run is cut into subnetwork actors: where, and which part of the flat vector and which
// shards each has.
import { estimateCosts } from '../../../models/networks/costs.ts'
import type { ImageNetwork } from '../../../models/networks/image-network.ts'
import {
  type PartitionPlan,
  planPartition,
  type SubnetworkCost,
} from '../../../models/networks/partition.ts'
import { assert } from '../../../protocol/assert.ts'
import { elementCount } from '../../../protocol/tensor.ts'
import type { ComputeThread, Disk } from '../../../runtime/environment.ts'
import type { Pipeline } from '../../pipeline/processes.ts'
import type { CompleteImageOptions } from '../options.ts'
import { lanesOf } from '../plan.ts'
import type { ImageTask } from '../task.ts'

export interface CutNetwork {
  readonly plan: PartitionPlan
  /** Parameters of each part, in the order of the flat vector. */
  readonly lengths: readonly number[]
}

/** Bytes that a link between two processes of one machine carries in a millisecond, copies included. */
const BYTES_PER_MS = 500_000

/** What each subnetwork costs on this machine: measured once a run, for whoever resumes it must cut alike. */
export async function costsOf(
  task: ImageTask,
  {
    disk,
    thread,
    path,
  }: { readonly disk: Disk; readonly thread: ComputeThread; readonly path: string },
): Promise<readonly SubnetworkCost[]> {
  if (disk.exists(path)) return JSON.parse(new TextDecoder().decode(disk.read(path)))
  const costs = (await thread.call('measureCosts', task)) as readonly SubnetworkCost[]
  disk.write(path, new TextEncoder().encode(`${JSON.stringify(costs, null, 2)}\n`))
  return costs
}

export function cutNetwork(
  network: ImageNetwork,
  options: {
    readonly parts: number
    /** Images of a micro-batch. */
    readonly batch: number
    /** As measured; absent: estimated. */
    readonly costs?: readonly SubnetworkCost[]
  },
): CutNetwork {
  const { parts, batch, costs = estimateCosts(network, batch) } = options
  const plan = planPartition({ costs, parts, bytesPerMs: BYTES_PER_MS })
  const lengths = plan.parts.map(({ from, to }) =>
    network.parameters
      .filter(({ subnetwork }) => subnetwork >= from && subnetwork < to)
      .reduce((sum, { shape }) => sum + elementCount(shape), 0),
  )
  return { plan, lengths }
}

/** What the processes of a run are told of how its replicas are cut, and a line that shows it. */
export function pipelineOf(
  options: CompleteImageOptions,
  network: ImageNetwork,
  costs: readonly SubnetworkCost[],
) {
  const { subnetworks: parts, batch, microBatches: micros, policy } = options
  const { plan, lengths } = cutNetwork(network, { parts, batch: batch / micros, costs })
  const pipeline: Omit<Pipeline, 'owners' | 'subnetworks'> = {
    micros,
    lanes: lanesOf(options),
    isInStep: policy === 'hard-sync',
    partOf(subnetwork) {
      const part = plan.parts[subnetwork]
      assert(part !== undefined, 'a part per subnetwork')
      return { from: part.from, to: part.to, parts }
    },
  }
  return { ...pipeline, lengths, shown: showParts(network, plan) }
}

/** 'cut before inception3b and inception4c: 31 %, 36 % and 33 % of the work'. */
function showParts({ subnetworks }: ImageNetwork, { parts, cuts, wholeMs }: PartitionPlan): string {
  const names = cuts.map((cut) => subnetworks[cut]?.name)
  const shares = parts.map(({ ms }) => `${Math.round((100 * ms) / wholeMs)} %`)
  return `cut before ${listed(names)}: ${listed(shares)} of the work`
}

function listed(items: readonly unknown[]): string {
  const last = items.at(-1)
  return items.length > 1 ? `${items.slice(0, -1).join(', ')} and ${last}` : `${last}`
}
