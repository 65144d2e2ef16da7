// Images as training reads them: one file, mapped by every process. A line of JSON says what is in it, then
// come labels, then planes. It is written while images are decoded, so the JSON stands at the end.
import { assert } from '../../protocol/assert.ts'

export interface ImageStore {
  readonly size: number
  readonly classes: readonly string[]
  readonly count: number
  /** Index into `classes`. */
  readonly labels: Uint16Array
  /** Of each channel, 0 to 1: over the images that were trained on. */
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
  name(index: number): string
  /** 3 x size x size bytes, a view into the file. */
  image(index: number): Uint8Array
}

export class ImageStoreError extends Error {
  override readonly name = 'ImageStoreError'
}

export interface ImageStoreEncoder {
  /** The next bytes of the file. */
  add(image: {
    readonly planes: Uint8Array
    readonly label: number
    readonly name: string
  }): Uint8Array
  /** The last bytes; `normalisation` of other images where these are a test set. */
  close(normalisation?: Normalisation): Uint8Array
  readonly normalisation: Normalisation
}

export interface Normalisation {
  readonly mean: readonly number[]
  readonly deviation: readonly number[]
}

interface Trailer extends Normalisation {
  readonly format: typeof FORMAT
  readonly size: number
  readonly classes: readonly string[]
  readonly labels: readonly number[]
  readonly names: readonly string[]
}

const FORMAT = 'troupe-images-1'
/** Of the trailer's length, the last bytes of the file. */
const LENGTH_BYTES = 4

export function imageStoreEncoder({
  size,
  classes,
}: {
  readonly size: number
  readonly classes: readonly string[]
}): ImageStoreEncoder {
  const labels: number[] = []
  const names: string[] = []
  const sums = [0, 0, 0]
  const squares = [0, 0, 0]
  const normalisation = (): Normalisation => {
    const values = Math.max(1, labels.length) * size * size * 255
    const mean = sums.map((sum) => sum / values)
    const deviation = squares.map((square, channel) => {
      const variance = square / (values * 255) - (mean[channel] ?? 0) ** 2
      // Of images of one colour: they stay as they are.
      return variance > 1e-6 ? Math.sqrt(variance) : 1
    })
    return { mean, deviation }
  }
  return {
    get normalisation() {
      return normalisation()
    },
    add({ planes, label, name }) {
      assert(planes.length === 3 * size * size, 'an image fills its planes')
      labels.push(label)
      names.push(name)
      for (const channel of [0, 1, 2]) {
        const plane = planes.subarray(channel * size * size, (channel + 1) * size * size)
        const { sum, square } = sumsOf(plane)
        sums[channel] = (sums[channel] ?? 0) + sum
        squares[channel] = (squares[channel] ?? 0) + square
      }
      return planes
    },
    close(given = normalisation()) {
      const trailer: Trailer = { format: FORMAT, size, classes, labels, names, ...given }
      const json = new TextEncoder().encode(JSON.stringify(trailer))
      const bytes = new Uint8Array(json.length + LENGTH_BYTES)
      bytes.set(json)
      new DataView(bytes.buffer).setUint32(json.length, json.length, true)
      return bytes
    },
  }
}

function sumsOf(plane: Uint8Array): { sum: number; square: number } {
  let sum = 0
  let square = 0
  for (let i = 0; i < plane.length; i++) {
    const value = plane[i]!
    sum += value
    square += value * value
  }
  return { sum, square }
}

/** Throws `ImageStoreError` where the bytes are no whole store. */
export function openImageStore(bytes: Uint8Array): ImageStore {
  const { size, classes, labels, names, mean, deviation } = readTrailer(bytes)
  const imageBytes = 3 * size * size
  return {
    size,
    classes,
    count: labels.length,
    labels: Uint16Array.from(labels),
    mean,
    deviation,
    name: (index) => names[index] ?? '',
    image(index) {
      assert(index < labels.length, 'an image lies within its store')
      return bytes.subarray(index * imageBytes, (index + 1) * imageBytes)
    },
  }
}

function readTrailer(bytes: Uint8Array): Trailer {
  const end = bytes.length - LENGTH_BYTES
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const length = end >= 0 ? view.getUint32(end, true) : 0
  if (length > end || end < 0) throw new ImageStoreError('not an image store, or cut off')
  const trailer = parse(bytes.subarray(end - length, end))
  if (trailer?.format !== FORMAT) throw new ImageStoreError('not an image store of this version')
  if (!isTrailer(trailer))
    throw new ImageStoreError('what an image store says of itself is damaged')
  const { size, labels, names } = trailer
  if (labels.length !== names.length || 3 * size * size * labels.length !== end - length) {
    throw new ImageStoreError(`${labels.length} images of ${size} x ${size} do not fill the store`)
  }
  if (labels.some((label) => label >= trailer.classes.length)) {
    throw new ImageStoreError('labels of classes that the store does not name')
  }
  return trailer
}

function isTrailer({ size, classes, labels, names, mean, deviation }: Trailer): boolean {
  const are = (values: unknown, type: string, length?: number): boolean =>
    Array.isArray(values) &&
    values.every((value) => typeof value === type) &&
    values.length === (length ?? values.length)
  const isNumbered =
    are(labels, 'number') && labels.every((label) => Number.isInteger(label) && label >= 0)
  const isNormalised = are(mean, 'number', 3) && are(deviation, 'number', 3)
  return (
    Number.isInteger(size) &&
    are(classes, 'string') &&
    are(names, 'string') &&
    isNumbered &&
    isNormalised
  )
}

function parse(json: Uint8Array): Trailer | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(json)) as Trailer
  } catch (cause) {
    if (cause instanceof SyntaxError) return undefined
    throw cause
  }
}
