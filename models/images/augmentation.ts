// Images to the input of a network: cropped, mirrored and recoloured by chance, then normalised.
import { assert } from '../../protocol/assert.ts'
import type { Random } from '../../protocol/random.ts'
import type { ImageStore, Normalisation } from './image-store.ts'

export interface Augmentation {
  /** Reflected border, in pixels, that a crop of the old size is taken from. */
  readonly pad: number
  /** Mirrors every other image. */
  readonly flip: boolean
  /** Strength, 0 to 1, of random brightness, contrast and saturation. */
  readonly colour: number
}

export const noAugmentation: Augmentation = { pad: 0, flip: false, colour: 0 }

/** `into`: images x 3 x size x size, (value / 255 - mean) / deviation. */
export function fillMinibatch({
  store,
  indices,
  augmentation,
  random,
  into,
}: {
  readonly store: ImageStore
  readonly indices: Uint32Array
  readonly augmentation: Augmentation
  readonly random: Random
  readonly into: Float32Array
}): void {
  const { size } = store
  const plane = size * size
  assert(into.length === indices.length * 3 * plane, 'a minibatch fills its tensor')
  const colours = new Float32Array(3 * plane)
  indices.forEach((index, row) => {
    const { dx, dy, mirrored } = drawCrop(augmentation, random)
    const columns = sources(size, dx, mirrored)
    const rows = sources(size, dy, false)
    const pixels = store.image(index)
    for (let channel = 0; channel < 3; channel++) {
      const from = pixels.subarray(channel * plane, (channel + 1) * plane)
      pick(from, rows, columns, colours.subarray(channel * plane, (channel + 1) * plane))
    }
    if (augmentation.colour > 0) recolour(colours, augmentation.colour, random)
    normalisePlanes(colours, store, into.subarray(3 * row * plane, 3 * (row + 1) * plane))
  })
}

/** How far the crop lies from the middle; nothing is drawn that is not asked for. */
export function drawCrop({ pad, flip }: Augmentation, random: Random) {
  const shift = () => (pad > 0 ? random.below(2 * pad + 1) - pad : 0)
  const [dx, dy] = [shift(), shift()]
  return { dx, dy, mirrored: flip && random.next() < 0.5 }
}

/** Per place along an axis: where it is taken from, reflected at the borders. */
function sources(size: number, shift: number, mirrored: boolean): Int32Array {
  return Int32Array.from({ length: size }, (_, at) => {
    const place = (mirrored ? size - 1 - at : at) + shift
    return reflected(place, size)
  })
}

/** -1 is 1, and size is size - 2: the border itself is not repeated. */
export function reflected(place: number, size: number): number {
  const period = Math.max(1, 2 * (size - 1))
  const within = ((place % period) + period) % period
  return within < size ? within : period - within
}

function pick(from: Uint8Array, rows: Int32Array, columns: Int32Array, into: Float32Array): void {
  const size = columns.length
  for (let y = 0; y < size; y++) {
    const row = rows[y]! * size
    const out = y * size
    for (let x = 0; x < size; x++) into[out + x] = from[row + columns[x]!]!
  }
}

/** (value / 255 - mean) / deviation, channel by channel. */
export function normalisePlanes(
  planes: Float32Array | Uint8Array,
  { mean, deviation }: Normalisation,
  into: Float32Array,
): void {
  const plane = planes.length / 3
  for (let channel = 0; channel < 3; channel++) {
    const scale = 1 / (255 * (deviation[channel] ?? 1))
    const offset = -(mean[channel] ?? 0) / (deviation[channel] ?? 1)
    const end = (channel + 1) * plane
    for (let i = channel * plane; i < end; i++) into[i] = planes[i]! * scale + offset
  }
}

/** ITU-R BT.601. */
const LUMA = [0.299, 0.587, 0.114] as const

/**
 * Brightness and contrast times 1 +- strength, then saturation: away from or towards each pixel's grey. As
 * all three are linear, one pass does them: v' = s c b v + (1 - s) c b grey + (1 - c) middle.
 */
export function recolour(planes: Float32Array, strength: number, random: Random): void {
  const factor = () => 1 + strength * (2 * random.next() - 1)
  const [brightness, contrast, saturation] = [factor(), factor(), factor()]
  const count = planes.length / 3
  const red = planes.subarray(0, count)
  const green = planes.subarray(count, 2 * count)
  const blue = planes.subarray(2 * count)
  let sum = 0
  for (let i = 0; i < count; i++) {
    sum += LUMA[0] * red[i]! + LUMA[1] * green[i]! + LUMA[2] * blue[i]!
  }
  const own = saturation * contrast * brightness
  const shared = (1 - saturation) * contrast * brightness
  const middle = (1 - contrast) * brightness * (sum / count)
  for (let i = 0; i < count; i++) {
    const grey = LUMA[0] * red[i]! + LUMA[1] * green[i]! + LUMA[2] * blue[i]!
    const added = shared * grey + middle
    red[i] = Math.min(255, Math.max(0, own * red[i]! + added))
    green[i] = Math.min(255, Math.max(0, own * green[i]! + added))
    blue[i] = Math.min(255, Math.max(0, own * blue[i]! + added))
  }
}
