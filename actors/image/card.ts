// What stands in the metadata of an image model: everything that a prediction needs besides the graph.
import type { Graph } from '../../models/graph.ts'
import { MODEL_CARD } from '../model-card.ts'

export class ModelCardError extends Error {
  override readonly name = 'ModelCardError'
}

export interface ImageCard {
  readonly task: 'image'
  readonly network: string
  /** Height and width of its input. */
  readonly size: number
  readonly classes: readonly string[]
  /** Of each channel, 0 to 1: the input is (value - mean) / deviation. */
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
}

/** The card of a model file; throws `ModelCardError` where it is not one of ours. */
export function imageCardOf({ metadata }: Graph, path: string): ImageCard {
  const card = parse(metadata?.[MODEL_CARD] ?? '{}')
  if (isImageCard(card)) return card
  const advice = 'give a model.onnx that troupe train image or troupe import wrote'
  throw new ModelCardError(`${path} does not say which classes and sizes it has: ${advice}`)
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isImageCard(card: unknown): card is ImageCard {
  const { task, classes, size, mean, deviation } = (card ?? {}) as Partial<ImageCard>
  const hasChannels = [mean, deviation].every((of) => Array.isArray(of) && of.length === 3)
  return task === 'image' && Array.isArray(classes) && Number(size) > 0 && hasChannels
}
