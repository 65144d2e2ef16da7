// What the compute thread of a fine-tuning run does: minibatches of rows to gradients, held-out rows to
// losses.
import { failureOf } from '../../models/device-faults.ts'
import { countHits, type Hits } from '../../models/images/accuracy.ts'
import { type ImageMinibatches, imageMinibatches } from '../../models/images/minibatches.ts'
import { normOf } from '../../models/optimizers/index.ts'
import { viewsOf } from '../../models/parameters.ts'
import { openSession, type Session } from '../../models/session.ts'
import { assert } from '../../protocol/assert.ts'
import { alignedFloat32, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Clock, Disk } from '../../runtime/environment.ts'
import type { TrainerFault } from '../chaos-plan.ts'
import type { StepRequest, StepResult } from '../trainer.ts'
import { type Examples, openExamples, splitRows } from './examples.ts'
import { gradientsOf, type ModelTask, openTunedModel, type TunedModel } from './task.ts'

export interface ModelCompute {
  open(task: ModelTask): void
  openPhase(): Promise<void>
  step(request: StepRequest): Promise<StepResult>
  /** For chaos: loses the device, or blocks this thread for good. */
  fail(how: TrainerFault): void
  openEvaluation(task: ModelTask): void
  /** Of held-out rows `from` to `to`. */
  evaluate(request: {
    readonly parameters: Float32Array
    readonly from: number
    readonly to: number
  }): Promise<RowsJudged>
}

export interface RowsJudged {
  readonly rows: number
  /** Sum over the rows. */
  readonly loss: number
  /** Where targets are classes. */
  readonly hits?: Hits
}

interface Opened {
  readonly task: ModelTask
  readonly tuned: TunedModel
  readonly examples: Examples
  readonly rows: ReturnType<typeof splitRows>
  readonly minibatches: ImageMinibatches
  session: Promise<Session> | undefined
  isLost: boolean
}

export function modelCompute({ disk, clock }: { disk: Disk; clock: Clock }): ModelCompute {
  let opened: Opened | undefined
  let evaluating: Opened | undefined
  const openTask = (task: ModelTask): Opened => {
    const tuned = openTunedModel(disk, task)
    const image = tuned.model.inputs[0]?.name ?? ''
    const examples = openExamples(disk, task.examples, { image })
    const rows = splitRows(examples.count, task.seed)
    return {
      task,
      tuned,
      examples,
      rows,
      minibatches: imageMinibatches({ ...task, count: rows.train.length }),
      session: undefined,
      isLost: false,
    }
  }
  const whenOpened = (work: Opened | undefined): Opened => {
    assert(work !== undefined, '`open` comes first')
    return work
  }
  const training = (work: Opened): Promise<Session> => {
    const { threads, device = 'cpu' } = work.task
    work.session ??= openSession(gradientsOf(work.tuned), { threads, device, cpuNodes: 'allowed' })
    return work.session
  }
  return {
    open(task) {
      opened = openTask(task)
    },
    async openPhase() {
      await training(whenOpened(opened))
    },
    async step({ sequence, parameters, gradient }) {
      const work = whenOpened(opened)
      const { task, tuned, examples, rows, minibatches } = work
      const session = await training(work)
      if (work.isLost)
        throw failureOf(task.device ?? 'cpu', 'run failed', new Error('injected: device was lost'))
      const { indices } = minibatches.of(sequence)
      const picked = indices.map((index) => rows.train[index] ?? 0)
      const loss = new Float32Array(1)
      const fetches: Record<string, Tensor> = { loss: tensorOf(loss, []) }
      for (const [name, view] of Object.entries(viewsOf(tuned.layout, gradient))) {
        fetches[`gradient/${name}`] = view
      }
      const feeds = { ...viewsOf(tuned.layout, parameters), ...examples.gather(picked) }
      const started = clock.now()
      await session.run(feeds, fetches)
      const computeMs = clock.now() - started
      const isSound = Number.isFinite(loss[0]) && Number.isFinite(normOf(gradient))
      if (!isSound) gradient.fill(0)
      return {
        examples: picked.length,
        loss: isSound ? (loss[0] ?? 0) : NON_FINITE_LOSS,
        computeMs,
        rejected: 0,
        nonFinite: isSound ? 0 : 1,
      }
    },
    fail(how) {
      if (how === 'fault') whenOpened(opened).isLost = true
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    },
    openEvaluation(task) {
      evaluating = openTask(task)
    },
    evaluate: (request) => evaluateRows(whenOpened(evaluating), request),
  }
}

/** Shown in the place of a loss that is not a number. */
const NON_FINITE_LOSS = 20.8

async function evaluateRows(
  work: Opened,
  { parameters, from, to }: Parameters<ModelCompute['evaluate']>[0],
): Promise<RowsJudged> {
  const { task, tuned, examples, rows } = work
  work.session ??= openSession(tuned.forward, { threads: task.threads })
  const session = await work.session
  const feeds = examples.gather(rows.test.subarray(from, to))
  const outputs = await session.run({ ...viewsOf(tuned.layout, parameters), ...feeds })
  const [mean = Number.NaN] = outputs.loss ? alignedFloat32(outputs.loss.bytes) : []
  const judged = { rows: to - from, loss: mean * (to - from) }
  const scores = Object.entries(outputs).find(([name]) => name !== 'loss')?.[1]
  if (task.tuning.loss !== 'cross-entropy' || !scores || !feeds.targets) return judged
  const labels = Array.from(new BigInt64Array(new Uint8Array(feeds.targets.bytes).buffer), Number)
  return { ...judged, hits: countHits(alignedFloat32(scores.bytes), labels) }
}
