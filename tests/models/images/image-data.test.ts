// From bytes of image files to minibatches: decoding, the store, which images a step has, and how they are
// augmented.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import sharp from 'sharp'
import {
  type Augmentation,
  drawCrop,
  fillMinibatch,
  noAugmentation,
  recolour,
} from '../../../models/images/augmentation.ts'
import { decodeImage, ImageError } from '../../../models/images/decode.ts'
import {
  type ImageStore,
  ImageStoreError,
  imageStoreEncoder,
  openImageStore,
} from '../../../models/images/image-store.ts'
import { imageMinibatches } from '../../../models/images/minibatches.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'

const SEED = 43
const random = randomFor('image data')

function storeOf(count: number, size = 5): { bytes: Uint8Array; planes: Uint8Array[] } {
  const encoder = imageStoreEncoder({ size, classes: ['a', 'b', 'c'] })
  const planes = Array.from({ length: count }, () =>
    Uint8Array.from({ length: 3 * size * size }, () => random.below(256)),
  )
  const parts = planes.map((each, index) =>
    encoder.add({ planes: each, label: index % 3, name: `a/${index}` }).slice(),
  )
  return { bytes: Buffer.concat([...parts, encoder.close()]), planes }
}

describe('a store', () => {
  test('gives back what was put in, with the mean and deviation of each channel', () => {
    const { bytes, planes } = storeOf(7)
    const store = openImageStore(bytes)
    expect([store.count, store.size, store.classes]).toEqual([7, 5, ['a', 'b', 'c']])
    planes.forEach((each, index) => {
      expect([...store.image(index)]).toEqual([...each])
      expect([store.labels[index], store.name(index)]).toEqual([index % 3, `a/${index}`])
    })
    for (const channel of [0, 1, 2]) {
      const all = planes.flatMap((each) => [...each.subarray(25 * channel, 25 * (channel + 1))])
      const mean = all.reduce((sum, value) => sum + value / 255, 0) / all.length
      const square = all.reduce((sum, value) => sum + (value / 255 - mean) ** 2, 0) / all.length
      expect(store.mean[channel]).toBeCloseTo(mean, 10)
      expect(store.deviation[channel]).toBeCloseTo(Math.sqrt(square), 10)
    }
  })

  test('of a test set has the figures of the training set', () => {
    const encoder = imageStoreEncoder({ size: 1, classes: ['a', 'b'] })
    const parts = [encoder.add({ planes: Uint8Array.of(1, 2, 3), label: 1, name: 'b/x' })]
    const given = { mean: [0.1, 0.2, 0.3], deviation: [1, 2, 3] }
    const store = openImageStore(Buffer.concat([...parts, encoder.close(given)]))
    expect([store.mean, store.deviation]).toEqual([given.mean, given.deviation])
  })

  test('that is cut off or damaged is refused, or reads as it was written', () => {
    const { bytes } = storeOf(4)
    const whole = openImageStore(bytes)
    const changed = fc.record({
      length: fc.integer({ min: 0, max: bytes.length - 1 }),
      at: fc.integer({ min: 4 * 75, max: bytes.length - 1 }),
      value: fc.integer({ min: 0, max: 255 }),
      isCut: fc.boolean(),
    })
    fc.assert(
      fc.property(changed, ({ length, at, value, isCut }) => {
        const damaged = isCut
          ? bytes.slice(0, length)
          : Uint8Array.from(bytes).fill(value, at, at + 1)
        try {
          expect(openImageStore(damaged).count).toBe(whole.count)
        } catch (error) {
          expect(error).toBeInstanceOf(ImageStoreError)
        }
      }),
      { seed: SEED, numRuns: 300 },
    )
  })
})

describe('the images of a step', () => {
  const sizes = fc.record({
    seed: fc.nat(),
    count: fc.integer({ min: 1, max: 60 }),
    batch: fc.integer({ min: 1, max: 70 }),
  })

  test('follow from seed and number; every minibatch is full; an epoch has seen every image', () => {
    fc.assert(
      fc.property(sizes, (options) => {
        const minibatches = imageMinibatches(options)
        const { stepsPerEpoch } = minibatches
        expect(stepsPerEpoch).toBe(Math.ceil(options.count / options.batch))
        for (const epoch of [0, 1]) {
          const seen = new Set<number>()
          for (let step = 0; step < stepsPerEpoch; step++) {
            const made = minibatches.of(epoch * stepsPerEpoch + step)
            expect(made.epoch).toBe(epoch)
            expect(made.indices.length).toBe(options.batch)
            for (const index of made.indices) seen.add(index)
          }
          expect(seen.size).toBe(options.count)
        }
        // Whoever asks, and in whatever order.
        expect(imageMinibatches(options).of(0)).toEqual(minibatches.of(0))
      }),
      { seed: SEED },
    )
  })

  test('come in another order every epoch', () => {
    const minibatches = imageMinibatches({ seed: 1, count: 100, batch: 100 })
    expect([...minibatches.of(0).indices]).not.toEqual([...minibatches.of(1).indices])
  })
})

/** Pixel by pixel, as one would say it. */
function slowly(
  store: ImageStore,
  index: number,
  augmentation: Augmentation,
  random: Random,
): number[] {
  const { size, mean, deviation } = store
  const { dx, dy, mirrored } = drawCrop(augmentation, random)
  const mirror = (at: number) => (at < 0 ? -at : at >= size ? 2 * (size - 1) - at : at)
  const pixels = Float32Array.from({ length: 3 * size * size }, (_, at) => {
    const [channel, y, x] = [Math.floor(at / size ** 2), Math.floor(at / size) % size, at % size]
    const column = mirrored ? size - 1 - x : x
    const source = channel * size ** 2 + mirror(y + dy) * size + mirror(column + dx)
    return store.image(index)[source]!
  })
  if (augmentation.colour > 0) recolour(pixels, augmentation.colour, random)
  return Array.from(pixels, (value, at) => {
    const channel = Math.floor(at / size ** 2)
    return (value / 255 - mean[channel]!) / deviation[channel]!
  })
}

describe('augmentation', () => {
  const store = openImageStore(storeOf(6, 8).bytes)
  const indices = Uint32Array.of(3, 0, 5, 5)
  const fill = (augmentation: Augmentation, random: Random): Float32Array => {
    const into = new Float32Array(indices.length * 3 * 64)
    fillMinibatch({ store, indices, augmentation, random, into })
    return into
  }

  const kinds: Augmentation[] = [
    noAugmentation,
    { pad: 3, flip: false, colour: 0 },
    { pad: 0, flip: true, colour: 0 },
    { pad: 2, flip: true, colour: 0.4 },
  ]
  for (const kind of kinds) {
    test(`equals its slow twin: ${JSON.stringify(kind)}`, () => {
      const made = fill(kind, randomFor('augment', SEED))
      const random = randomFor('augment', SEED)
      const expected = [...indices].flatMap((index) => slowly(store, index, kind, random))
      expected.forEach((value, at) => {
        expect(made[at]!).toBeCloseTo(value, 4)
      })
    })
  }

  test('draws nothing where there is nothing to draw', () => {
    const random = randomFor('nothing')
    const before = random.state()
    fill(noAugmentation, random)
    expect(random.state()).toEqual(before)
  })

  test('of colour leaves grey grey, and stays between 0 and 255', () => {
    const grey = new Float32Array(3 * 16).map((_, i) => 15 * (i % 16))
    recolour(grey, 1, randomFor('grey', 2))
    for (let i = 0; i < 16; i++) {
      expect(grey[i + 16]).toBeCloseTo(grey[i]!, 3)
      expect(grey[i]).toBeGreaterThanOrEqual(0)
      expect(grey[i]).toBeLessThanOrEqual(255)
    }
  })
})

describe('decoding', () => {
  /** Left half red, right half blue; the upper quarter green. */
  const drawing = (width: number, height: number) =>
    Buffer.from(
      Array.from({ length: width * height }, (_, at) => {
        const [x, y] = [at % width, Math.floor(at / width)]
        return y < height / 4 ? [0, 255, 0] : x < width / 2 ? [255, 0, 0] : [0, 0, 255]
      }).flat(),
    )
  const picture = (width: number, height: number) =>
    sharp(drawing(width, height), { raw: { width, height, channels: 3 } })
  const at = (planes: Uint8Array, size: number, x: number, y: number): number[] =>
    [0, 1, 2].map((channel) => planes[channel * size * size + y * size + x]!)
  const near = (actual: readonly number[], expected: readonly number[]) =>
    actual.forEach((value, index) => {
      expect(Math.abs(value - expected[index]!)).toBeLessThan(40)
    })

  test.each(['png', 'jpeg', 'webp', 'gif'] as const)(
    '%s: planes of red, green, blue',
    async (format) => {
      const planes = await decodeImage(await picture(32, 32).toFormat(format).toBuffer(), {
        size: 32,
      })
      near(at(planes, 32, 16, 3), [0, 255, 0])
      near(at(planes, 32, 5, 20), [255, 0, 0])
      near(at(planes, 32, 26, 20), [0, 0, 255])
    },
  )

  test('takes the middle of what is wider than high, with the shorter side as the size', async () => {
    const planes = await decodeImage(await picture(64, 32).png().toBuffer(), { size: 16 })
    expect(planes.length).toBe(3 * 16 * 16)
    near(at(planes, 16, 3, 12), [255, 0, 0])
    near(at(planes, 16, 12, 12), [0, 0, 255])
  })

  test('turns as EXIF says', async () => {
    const turned = await picture(32, 32).withMetadata({ orientation: 3 }).jpeg().toBuffer()
    const planes = await decodeImage(turned, { size: 32 })
    // Upside down: green is at the bottom.
    near(at(planes, 32, 16, 29), [0, 255, 0])
    near(at(planes, 32, 5, 10), [0, 0, 255])
  })

  test('grey is grey in all planes, transparent is white, 16 bits become 8, CMYK becomes RGB', async () => {
    const flat = (background: object) => ({
      create: { width: 8, height: 8, channels: 4 as const, background },
    })
    const grey = await sharp(flat({ r: 90, g: 90, b: 90, alpha: 1 }))
      .greyscale()
      .png()
      .toBuffer()
    near(at(await decodeImage(grey, { size: 8 }), 8, 4, 4), [90, 90, 90])
    const clear = await sharp(flat({ r: 0, g: 0, b: 0, alpha: 0 }))
      .png()
      .toBuffer()
    near(at(await decodeImage(clear, { size: 8 }), 8, 4, 4), [255, 255, 255])
    const deep = await picture(8, 8).toColourspace('rgb16').png().toBuffer()
    near(at(await decodeImage(deep, { size: 8 }), 8, 1, 6), [255, 0, 0])
    const print = await picture(32, 32).toColourspace('cmyk').jpeg().toBuffer()
    const [red = 0, green = 0, blue = 0] = at(await decodeImage(print, { size: 32 }), 32, 5, 24)
    expect(red).toBeGreaterThan(green + 80)
    expect(red).toBeGreaterThan(blue + 80)
  })

  const refused: readonly (readonly [string, () => Promise<Uint8Array>, string])[] = [
    ['nothing', async () => new Uint8Array(), 'an empty file'],
    ['text', async () => new TextEncoder().encode('<svg/>'), 'not an image that can be read'],
    [
      'half a file',
      async () => {
        const noise = Buffer.from(Array.from({ length: 3 * 64 * 64 }, () => random.below(256)))
        const raw = { width: 64, height: 64, channels: 3 } as const
        const whole = await sharp(noise, { raw }).jpeg().toBuffer()
        return whole.subarray(0, whole.length / 2)
      },
      'damaged',
    ],
    [
      'a header without an image',
      async () => Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 1, 2, 3),
      'damaged',
    ],
  ]
  test.each(refused)('%s is refused by name, in one line', async (_what, make, message) => {
    const failed = await decodeImage(await make(), { size: 8 }).catch((error: Error) => error)
    expect(failed).toBeInstanceOf(ImageError)
    expect((failed as Error).message).toContain(message)
    expect((failed as Error).message).not.toContain('\n')
  })

  test('more pixels than anybody trains on are not decoded', async () => {
    // 20,000 x 20,000 of one colour: 400 megapixels in a few kilobytes.
    const huge = { width: 20_000, height: 20_000, channels: 3 as const, background: 'red' }
    const bytes = await sharp({ create: huge, limitInputPixels: false }).png().toBuffer()
    await expect(decodeImage(bytes, { size: 8 })).rejects.toThrow('more than 100 megapixels')
  }, 30_000)
})
