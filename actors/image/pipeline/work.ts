// The methods of a compute thread that holds some subnetworks of an image network.
import { failureOf } from '../../../models/device-faults.ts'
import { openImageStore } from '../../../models/images/image-store.ts'
import { imageNetwork } from '../../../models/networks/networks.ts'
import { openSession } from '../../../models/session.ts'
import { assert } from '../../../protocol/assert.ts'
import type { Clock, Disk } from '../../../runtime/environment.ts'
import type { TrainerFault } from '../../chaos-plan.ts'
import type { MicroRequest, MicroResult } from '../../pipeline/stage.ts'
import { createPart, type Part } from './compute.ts'
import { pipelineExamples } from './examples.ts'
import type { ImageTask } from '../task.ts'

/** The task of one process: subnetworks `from` to `to` (exclusive), one of `parts` parts. */
export interface PartTask extends ImageTask {
  readonly parts: number
  readonly from: number
  readonly to: number
}

export interface PipelineCompute {
  open(task: PartTask): void
  /** Opens what the steps need, while their parameters are on the way. */
  openPhase(): Promise<void>
  forward(request: MicroRequest): Promise<MicroResult>
  backward(request: MicroRequest): Promise<MicroResult>
  both(request: MicroRequest): Promise<MicroResult>
  abandon(): void
  /** For chaos: loses the device, or blocks this thread for good. */
  fail(how: TrainerFault): void
}

export function pipelineCompute({ disk, clock }: { disk: Disk; clock: Clock }): PipelineCompute {
  let opened: Part | undefined
  let lostDevice: string | undefined
  const part = (): Part => {
    assert(opened !== undefined, '`open` comes first')
    return opened
  }
  let device = 'cpu'
  return {
    open(task) {
      const { from, to, parts, threads, microBatches, labelSmoothing, auxiliaryWeight } = task
      device = task.device ?? 'cpu'
      opened = createPart({
        network: imageNetwork(task.network),
        from,
        to,
        parts,
        batch: task.batch / microBatches,
        labelSmoothing,
        auxiliaryWeight,
        clock,
        async openSession(graph) {
          const session = await openSession(graph, { threads, device, cpuNodes: 'allowed' })
          return {
            ...session,
            run(feeds, fetches) {
              if (lostDevice === undefined) return session.run(feeds, fetches)
              throw failureOf(lostDevice, 'run failed', new Error('injected: device was lost'))
            },
          }
        },
        examples: pipelineExamples(task, openImageStore(disk.map(task.train))),
      })
    },
    openPhase: () => part().prepare(),
    forward: (request) => part().forward(request),
    backward: (request) => part().backward(request),
    both: (request) => part().both(request),
    abandon: () => opened?.abandon(),
    fail(how) {
      if (how === 'fault') lostDevice = device
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    },
  }
}
