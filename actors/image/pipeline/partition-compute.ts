// The method of a compute thread that measures what the subnetworks of a network cost.
import { measureCosts } from '../../../models/networks/costs.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import type { SubnetworkCost } from '../../../models/networks/partition.ts'
import { openSession } from '../../../models/session.ts'
import type { Clock } from '../../../runtime/environment.ts'
import type { ImageTask } from '../task.ts'

export interface CostMeter {
  /** Of micro-batches, on the device of the task. */
  measureCosts(task: ImageTask): Promise<SubnetworkCost[]>
}

export function costMeter({ clock }: { readonly clock: Clock }): CostMeter {
  return {
    measureCosts: ({ network, batch, microBatches, threads, device = 'cpu' }) =>
      measureCosts(imageNetwork(network), {
        batch: batch / microBatches,
        openSession: (graph) => openSession(graph, { threads, device, cpuNodes: 'allowed' }),
        now: () => clock.now(),
      }),
  }
}
