// What the compute thread of an image run does: minibatches to gradients, test images to hits. Parameters
// and gradients are shared memory; images are a mapped file.
import { fillMinibatch, noAugmentation, normalisePlanes } from '../../models/images/augmentation.ts'
import {
  countHits,
  type Hits,
  predictedClasses,
  type TopClasses,
  topClasses,
} from '../../models/images/accuracy.ts'
import { type ImageStore, openImageStore } from '../../models/images/image-store.ts'
import { type ImageMinibatches, imageMinibatches } from '../../models/images/minibatches.ts'
import { normOf } from '../../models/optimizers/index.ts'
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import type { Clock, Disk } from '../../runtime/environment.ts'
import type { TrainerFault } from '../chaos-plan.ts'
import type { StepRequest, StepResult } from '../trainer.ts'
import { type WorkingNetwork, workingNetwork } from './network.ts'
import type { ImageTask } from './task.ts'

export interface ImageCompute {
  open(task: ImageTask): void
  /** Opens what the steps need, while their parameters are on the way. */
  openPhase(): Promise<void>
  step(request: StepRequest): Promise<StepResult>
  /** For chaos: loses the device, or blocks this thread for good. */
  fail(how: TrainerFault): void
  /** Before `evaluate`, in a thread of the control process. */
  openEvaluation(task: ImageTask): void
  evaluate(request: EvaluationRequest): Promise<EvaluatedPart>
  /** One image that is none of the test set. */
  classify(request: ClassifyRequest): Promise<TopClasses>
}

export interface EvaluatedPart {
  readonly hits: Hits
  /** Class of each image, as `predictedClasses` has it. */
  readonly predicted: Uint16Array
  /** `TOP` for each. */
  readonly top: TopClasses
}

export interface ClassifyRequest {
  readonly parameters: Float32Array
  /** 3 x size x size bytes. */
  readonly planes: Uint8Array
}

export const TOP = 5

export interface EvaluationRequest {
  readonly parameters: Float32Array
  /** Test images. */
  readonly from: number
  readonly to: number
}

interface Opened {
  readonly task: ImageTask
  readonly store: ImageStore
  readonly minibatches: ImageMinibatches
  readonly network: WorkingNetwork
  /** Of one minibatch: megabytes that every step needs. */
  readonly images: Float32Array
}

export function imageCompute({ disk, clock }: { disk: Disk; clock: Clock }): ImageCompute {
  let opened: Opened | undefined
  let evaluating: Opened | undefined
  const openSet = (task: ImageTask, path: string): Opened => {
    const store = openImageStore(disk.map(path))
    return {
      task,
      store,
      minibatches: imageMinibatches({ ...task, count: store.count }),
      network: workingNetwork(task, clock),
      images: new Float32Array(task.batch * 3 * task.network.size ** 2),
    }
  }
  const whenOpened = (work: Opened | undefined): Opened => {
    assert(work !== undefined, '`open` comes first')
    return work
  }
  return {
    open(task) {
      opened = openSet(task, task.train)
    },
    openPhase: () => whenOpened(opened).network.prepare(),
    step: (request) => trainStep(whenOpened(opened), request),
    fail(how) {
      if (how === 'fault') whenOpened(opened).network.loseDevice()
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    },
    openEvaluation(task) {
      evaluating = openSet(task, task.test)
    },
    evaluate: (request) => evaluateStep(whenOpened(evaluating), request),
    async classify({ parameters, planes }) {
      const { store, network } = whenOpened(evaluating)
      const image = new Float32Array(planes.length)
      normalisePlanes(planes, store, image)
      return topClasses(await network.evaluate(parameters, image), 1, TOP)
    },
  }
}

// Step number and seed say which images, how they are cropped and what is dropped out: whoever computes
// the step computes the same step.
async function trainStep(work: Opened, request: StepRequest): Promise<StepResult> {
  const { task, store, minibatches, network, images } = work
  const { sequence, parameters, gradient } = request
  const random = randomFor(task.seed, 'minibatch', sequence)
  const { indices } = minibatches.of(sequence)
  fillMinibatch({ store, indices, augmentation: task.augmentation, random, into: images })
  const targets = BigInt64Array.from(indices, (index) => BigInt(store.labels[index] ?? 0))
  const before = network.computeMs
  const loss = await network.train({ parameters, gradient, images, targets, sequence })
  const computeMs = network.computeMs - before
  const isSound = Number.isFinite(loss) && Number.isFinite(normOf(gradient))
  if (!isSound) standStill(network, gradient, parameters)
  return {
    examples: task.batch,
    loss: isSound ? loss : NON_FINITE_LOSS,
    computeMs,
    rejected: 0,
    nonFinite: isSound ? 0 : 1,
  }
}

/** Shown in the place of a loss that is not a number: log(2^30). */
const NON_FINITE_LOSS = 20.8

/** A step that changes nothing: no gradient, and statistics that are the running ones. */
function standStill(
  { network, layout }: WorkingNetwork,
  gradient: Float32Array,
  parameters: Float32Array,
): void {
  gradient.fill(0)
  layout.slices.forEach(({ offset, length }, index) => {
    if (network.parameters[index]?.role !== 'statistics') return
    gradient.set(parameters.subarray(offset, offset + length), offset)
  })
}

async function evaluateStep(
  { store, network }: Opened,
  { parameters, from, to }: EvaluationRequest,
): Promise<EvaluatedPart> {
  const { size } = network.network.options
  const indices = Uint32Array.from({ length: to - from }, (_, index) => from + index)
  const images = new Float32Array(indices.length * 3 * size ** 2)
  const random = randomFor('none')
  fillMinibatch({ store, indices, augmentation: noAugmentation, random, into: images })
  const logits = await network.evaluate(parameters, images)
  const labels = Array.from(indices, (index) => store.labels[index] ?? 0)
  return {
    hits: countHits(logits, labels),
    predicted: predictedClasses(logits, labels),
    top: topClasses(logits, labels.length, TOP),
  }
}
