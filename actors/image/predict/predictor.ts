// Images to labels and probabilities, by a model file of ours: in this process, or through a pipeline of
// subnetworks in processes of their own.
import { decodeImage, ImageError } from '../../../models/images/decode.ts'
import { normalisePlanes } from '../../../models/images/augmentation.ts'
import { decodeOnnx } from '../../../models/onnx-file.ts'
import { openSession } from '../../../models/session.ts'
import { alignedFloat32, type Tensor, tensorOf } from '../../../protocol/tensor.ts'
import { type Disk, DiskError } from '../../../runtime/environment.ts'
import { type ImageCard, imageCardOf, ModelCardError } from '../card.ts'

export interface Prediction {
  readonly label: string
  /** 0 to 1. */
  readonly probability: number
}

export type ImagePrediction =
  | { readonly image: string; readonly predictions: readonly Prediction[] }
  | { readonly image: string; readonly error: string }

/** What computes: batch x 3 x size x size to batch x classes probabilities. */
export type PredictBatch = (images: Tensor) => Promise<Tensor>

export interface Predictor {
  readonly card: ImageCard
  /** The likeliest classes of each, or why there are none; in the order of the images. */
  predict(
    images: readonly { readonly name: string; readonly bytes: Uint8Array }[],
    options?: { readonly top?: number },
  ): Promise<readonly ImagePrediction[]>
}

const BATCH_IMAGES_MAX = 32
const TOP = 5

/** Throws `ModelCardError` where the file is no image model. */
export async function openPredictor(options: {
  readonly disk: Disk
  readonly model: string
  readonly threads?: number
  /** Instead of a session in this process. */
  readonly predictBatch?: PredictBatch
}): Promise<Predictor> {
  const { disk, model, threads = 1 } = options
  const graph = decodeOnnx(disk.read(model))
  const card = imageCardOf(graph, model)
  const predictBatch = options.predictBatch ?? (await sessionBatches(graph, threads))
  return {
    card,
    async predict(images, { top = TOP } = {}) {
      const answers: ImagePrediction[] = []
      for (let from = 0; from < images.length; from += BATCH_IMAGES_MAX) {
        const batch = images.slice(from, from + BATCH_IMAGES_MAX)
        answers.push(...(await predictSome(card, predictBatch, batch, top)))
      }
      return answers
    },
  }
}

async function sessionBatches(
  graph: Parameters<typeof openSession>[0],
  threads: number,
): Promise<PredictBatch> {
  const session = await openSession(graph, { threads })
  return async (images) => {
    const { probabilities } = await session.run({ images })
    if (!probabilities) throw new Error('the model has no output named probabilities')
    return probabilities
  }
}

async function predictSome(
  card: ImageCard,
  predictBatch: PredictBatch,
  images: readonly { readonly name: string; readonly bytes: Uint8Array }[],
  top: number,
): Promise<ImagePrediction[]> {
  const { size, classes } = card
  const decoded = await Promise.all(images.map(({ bytes }) => planesOf(bytes, size)))
  const readable = decoded.filter((planes): planes is Uint8Array => typeof planes !== 'string')
  const scores =
    readable.length > 0 ? await scoresOf(card, predictBatch, readable) : new Float32Array()
  let row = 0
  return images.map(({ name }, index): ImagePrediction => {
    const planes = decoded[index]
    if (typeof planes === 'string') return { image: name, error: planes }
    const own = scores.subarray(row * classes.length, (row + 1) * classes.length)
    row += 1
    return { image: name, predictions: likeliest(own, classes, top) }
  })
}

async function scoresOf(
  { size, classes, mean, deviation }: ImageCard,
  predictBatch: PredictBatch,
  images: readonly Uint8Array[],
): Promise<Float32Array> {
  const length = 3 * size * size
  const values = new Float32Array(images.length * length)
  images.forEach((planes, index) => {
    normalisePlanes(
      planes,
      { mean, deviation },
      values.subarray(index * length, (index + 1) * length),
    )
  })
  const made = await predictBatch(tensorOf(values, [images.length, 3, size, size]))
  const outputs = made.shape.at(-1)
  if (outputs !== classes.length) {
    const what = `the model has ${outputs} outputs, but names ${classes.length} classes`
    throw new ModelCardError(`${what}: import it again with the right --labels`)
  }
  return alignedFloat32(made.bytes)
}

/** Planes, or why there are none. */
async function planesOf(bytes: Uint8Array, size: number): Promise<Uint8Array | string> {
  try {
    return await decodeImage(bytes, { size })
  } catch (error) {
    if (error instanceof ImageError) return error.message
    throw error
  }
}

function likeliest(scores: Float32Array, classes: readonly string[], top: number): Prediction[] {
  return Array.from(scores, (probability, index) => ({
    label: classes[index] ?? `${index}`,
    probability,
  }))
    .sort((a, b) => b.probability - a.probability)
    .slice(0, top)
}

/** Files, and the files of folders, in the order given. What cannot be read is said in its place. */
export async function predictFiles(
  predictor: Predictor,
  {
    disk,
    paths,
    top,
  }: { readonly disk: Disk; readonly paths: readonly string[]; readonly top: number },
): Promise<readonly ImagePrediction[]> {
  const answers: ImagePrediction[] = []
  for (let from = 0; from < paths.length; from += BATCH_IMAGES_MAX) {
    const files = paths.slice(from, from + BATCH_IMAGES_MAX).map((path) => readFile(disk, path))
    const readable = files.filter((file) => 'bytes' in file)
    const predicted = [...(await predictor.predict(readable, { top }))]
    for (const file of files) {
      const answer = 'bytes' in file ? predicted.shift() : file
      if (answer) answers.push(answer)
    }
  }
  return answers
}

function readFile(
  disk: Disk,
  path: string,
): { name: string; bytes: Uint8Array } | { image: string; error: string } {
  try {
    return { name: path, bytes: disk.read(path) }
  } catch (error) {
    if (error instanceof DiskError) return { image: path, error: error.message }
    throw error
  }
}
