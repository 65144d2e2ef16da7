// What stands in the metadata of an image model: everything that a prediction needs besides the graph.

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
