// Predictions in batches: requests that come together share one. Who calls bounds what waits.
import type { ImagePrediction, Predictor } from '../image/predict/predictor.ts'

export interface Upload {
  readonly name: string
  readonly bytes: Uint8Array
}

export interface Batcher {
  predict(images: readonly Upload[], top: number): Promise<readonly ImagePrediction[]>
}

interface Waiting {
  readonly images: readonly Upload[]
  readonly top: number
  readonly resolve: (answers: readonly ImagePrediction[]) => void
  readonly reject: (error: unknown) => void
}

export function createBatcher(predictor: Predictor): Batcher {
  let waiting: Waiting[] = []
  let isRunning = false

  async function run(): Promise<void> {
    isRunning = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      await answer(predictor, batch)
    }
    isRunning = false
  }

  return {
    predict(images, top) {
      const { promise, resolve, reject } = Promise.withResolvers<readonly ImagePrediction[]>()
      waiting.push({ images, top, resolve, reject })
      if (!isRunning) void run()
      return promise
    },
  }
}

async function answer(predictor: Predictor, batch: readonly Waiting[]): Promise<void> {
  const top = Math.max(...batch.map((request) => request.top))
  try {
    const all = await predictor.predict(
      batch.flatMap(({ images }) => images),
      { top },
    )
    let from = 0
    for (const { images, top: wanted, resolve } of batch) {
      const own = all.slice(from, (from += images.length))
      resolve(own.map((each) => shortened(each, wanted)))
    }
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}

function shortened(answer: ImagePrediction, top: number): ImagePrediction {
  return 'predictions' in answer
    ? { ...answer, predictions: answer.predictions.slice(0, top) }
    : answer
}
