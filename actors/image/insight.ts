// What people look at of an image run, in its control process: what its last evaluation confused, some test
// images with what was predicted, and the classes of an image that somebody sent.
import { decodeImage, encodePng, ImageError } from '../../models/images/decode.ts'
import { openImageStore } from '../../models/images/image-store.ts'
import type { TopClasses } from '../../models/images/accuracy.ts'
import { randomFor, shuffle } from '../../protocol/random.ts'
import {
  type ClassShown,
  type Confusion,
  type ImageInsight,
  insightLimits,
  NotComputedError,
  type SamplesShown,
  UnknownIdError,
  UnreadableError,
} from '../insight.ts'
import type { Life } from '../run/life.ts'
import type { UnderWay } from '../run/world.ts'
import { onDemand } from '../run/on-demand.ts'
import type { ClassifyRequest, EvaluatedPart } from './compute.ts'
import { type Predicted, confusionOf, samplesOf } from './predicted.ts'
import type { ImageTask } from './task.ts'
import type { ImageRecord, ImageWorld } from './world.ts'

type Run = Pick<UnderWay<ImageRecord>, 'cluster' | 'record'>

export interface ImageLooker {
  readonly insight: ImageInsight
  /** From here on the present model is that of the shards. */
  begun(run: Run): void
  /** `parameters` are kept, and never written again. */
  evaluating(
    model: string,
    parameters: Float32Array,
  ): { take(part: EvaluatedPart, from: number): void; end(): void }
}

interface Judged {
  readonly model: string
  readonly parameters: Float32Array
  readonly confusion: Confusion
  readonly samples: SamplesShown
}

export function imageLooker(world: ImageWorld, task: ImageTask, life: Life): ImageLooker {
  const { disk, clock, compute } = world.environment
  const store = openImageStore(disk.map(task.test))
  const order = shuffle(
    Array.from({ length: store.count }, (_, index) => index),
    randomFor(task.seed, 'samples'),
  )
  const thread = onDemand({
    clock,
    async start() {
      const started = compute.start(world.computeModule)
      await started.call('openEvaluation', { ...task, device: 'cpu' })
      return started
    },
  })
  let training: Run | undefined
  let judged: Judged | undefined

  async function present(): Promise<{ model: string; parameters: Float32Array }> {
    // Before the first step the shards have nothing.
    if (training && training.record.tally.examples > 0 && !life.isOver) {
      const parameters = await life.whileUnderWay(training.cluster.pull('average'))
      if (parameters) return { model: 'present', parameters }
    }
    if (!judged)
      throw new NotComputedError('no model was trained yet, or evaluated before the run ended')
    return judged
  }
  const shownClasses = ({ classes, probabilities }: TopClasses): ClassShown[] =>
    Array.from(classes, (index, place) => ({
      label: store.classes[index] ?? `${index}`,
      probability: probabilities[place] ?? 0,
    }))

  return {
    insight: {
      confusion: async () => judged?.confusion,
      samples: async () => judged?.samples,
      async imagePng(index) {
        const isThere = Number.isInteger(index) && index >= 0 && index < store.count
        if (!isThere) throw new UnknownIdError(`there are ${store.count} test images, from 0`)
        return await encodePng(store.image(index), store.size)
      },
      async classify(image) {
        const planes = await planesOf(image, store.size)
        return await thread.run(async ({ call }) => {
          const { model, parameters } = await present()
          const request: ClassifyRequest = { parameters, planes }
          return { model, top: shownClasses((await call('classify', request)) as TopClasses) }
        })
      },
    },
    begun(run) {
      training = run
    },
    evaluating(model, parameters) {
      const predicted: Predicted[] = []
      return {
        take({ predicted: classes, top }, from) {
          const each = top.classes.length / classes.length
          classes.forEach((found, row) => {
            const index = from + row
            const [start, end] = [row * each, (row + 1) * each]
            predicted.push({
              index,
              label: store.labels[index] ?? 0,
              predicted: found,
              top: {
                classes: top.classes.subarray(start, end),
                probabilities: top.probabilities.subarray(start, end),
              },
            })
          })
        },
        end() {
          const samples = samplesOf(predicted, order).map(
            ({ index, label, predicted: found, top }) => ({
              index,
              name: store.name(index),
              label: store.classes[label] ?? '',
              isCorrect: found === label,
              top: shownClasses(top),
            }),
          )
          const confusion = confusionOf(predicted, { model, classes: store.classes })
          judged = { model, parameters, confusion, samples: { model, samples } }
        },
      }
    },
  }
}

async function planesOf(image: Uint8Array, size: number): Promise<Uint8Array> {
  const { inputBytesMax } = insightLimits
  if (image.length > inputBytesMax) {
    throw new UnreadableError(`${image.length} bytes: give at most ${inputBytesMax}`)
  }
  try {
    return await decodeImage(image, { size })
  } catch (error) {
    if (error instanceof ImageError) throw new UnreadableError(error.message, { cause: error })
    throw error
  }
}
