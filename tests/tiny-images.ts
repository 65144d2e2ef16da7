// Folders of small images that a network can learn to tell apart in a few steps: stripes across, stripes
// down, and checks, in colours by chance.
import { mkdirSync, writeFileSync } from 'node:fs'
import sharp from 'sharp'
import { randomFor } from '../protocol/random.ts'

export const tinyClasses = ['across', 'checks', 'down'] as const

const isBright = {
  across: (_x: number, y: number) => y % 8 < 4,
  down: (x: number) => x % 8 < 4,
  checks: (x: number, y: number) => (x + y) % 8 < 4 !== y % 8 < 4,
}

/** `FOLDER/CLASS/NUMBER.png`, or .jpg or .webp, in turn. */
export async function makeTinyImages(
  folder: string,
  { perClass, size = 32 }: { readonly perClass: number; readonly size?: number },
): Promise<void> {
  for (const name of tinyClasses) {
    mkdirSync(`${folder}/${name}`, { recursive: true })
    for (let index = 0; index < perClass; index++) {
      const random = randomFor(name, index)
      const colours = [0, 1].map((bright) => [0, 1, 2].map(() => 128 * bright + random.below(127)))
      const [dx, dy] = [random.below(8), random.below(8)]
      const pixels = Buffer.alloc(size * size * 3)
      for (let i = 0; i < size * size; i++) {
        const bright = isBright[name]((i % size) + dx, Math.floor(i / size) + dy)
        pixels.set(colours[bright ? 1 : 0]!, 3 * i)
      }
      const raw = sharp(pixels, { raw: { width: size, height: size, channels: 3 } })
      const format = (['png', 'jpeg', 'webp'] as const)[index % 3]!
      const number = `${index}`.padStart(3, '0')
      const extension = format === 'jpeg' ? 'jpg' : format
      writeFileSync(
        `${folder}/${name}/${number}.${extension}`,
        await raw.toFormat(format).toBuffer(),
      )
    }
  }
}
