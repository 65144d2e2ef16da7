// Accuracy of a model on the test set, in parts over the compute threads of the control process.
import { accuracyOf, addHits, type Hits } from '../../models/images/accuracy.ts'
import type { ComputeThread } from '../../runtime/environment.ts'
import { inParts } from '../part-work.ts'
import type { Accuracy } from '../report.ts'
import type { EvaluatedPart, EvaluationRequest } from './compute.ts'
import type { ImageLooker } from './insight.ts'
import type { ImageTask } from './task.ts'

export interface ImageEvaluator {
  /** `model`: its name, for whoever looks at it. */
  evaluate(parameters: Float32Array, model: string): Promise<Accuracy>
}

const PART_IMAGES = 50

export async function imageEvaluator(options: {
  readonly threads: readonly ComputeThread[]
  readonly task: ImageTask
  /** Test images. */
  readonly images: number
  readonly looker: ImageLooker
}): Promise<ImageEvaluator> {
  const { threads, task, images, looker } = options
  await Promise.all(threads.map((thread) => thread.call('openEvaluation', task)))
  return {
    async evaluate(values, model) {
      const parameters = new Float32Array(new SharedArrayBuffer(values.byteLength))
      parameters.set(values)
      const hits: Hits[] = []
      const evaluated = looker.evaluating(model, parameters)
      await inParts<EvaluatedPart>(threads, {
        total: images,
        partSize: PART_IMAGES,
        work(thread, part) {
          const request: EvaluationRequest = { parameters, ...part }
          return thread.call('evaluate', request)
        },
        take(part, { from }) {
          hits.push(part.hits)
          evaluated.take(part, from)
        },
      })
      evaluated.end()
      return accuracyOf(addHits(hits))
    },
  }
}
