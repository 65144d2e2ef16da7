// Image files to planes of bytes, and back. The only importer of sharp, which must stay in the main thread of its
// process: it crashes the workers of some engines.
import sharp from 'sharp'

export class ImageError extends Error {
  override readonly name = 'ImageError'
}

/** A picture of a hundred megapixels takes 300 MB decoded. */
const PIXELS_MAX = 100_000_000

/**
 * 3 x size x size bytes, red plane first: turned as its EXIF says, the shorter side resized to `size`, the
 * middle cut out; transparent over white; the first frame of an animation; any colour space as sRGB. Throws
 * `ImageError`.
 */
export async function decodeImage(
  bytes: Uint8Array,
  { size }: { readonly size: number },
): Promise<Uint8Array> {
  if (bytes.length === 0) throw new ImageError('an empty file')
  if (!isImage(bytes)) throw new ImageError('not an image that can be read: give JPEG, PNG or WebP')
  const pixels = await readPixels(bytes, size)
  const plane = size * size
  const planes = new Uint8Array(3 * plane)
  for (let at = 0; at < plane; at++) {
    planes[at] = pixels[3 * at] ?? 0
    planes[plane + at] = pixels[3 * at + 1] ?? 0
    planes[2 * plane + at] = pixels[3 * at + 2] ?? 0
  }
  return planes
}

/** As PNG: 3 x size x size bytes, red plane first. */
export async function encodePng(planes: Uint8Array, size: number): Promise<Uint8Array> {
  const plane = size * size
  const pixels = new Uint8Array(3 * plane)
  for (let at = 0; at < plane; at++) {
    for (let channel = 0; channel < 3; channel++) {
      pixels[3 * at + channel] = planes[channel * plane + at] ?? 0
    }
  }
  const raw = { width: size, height: size, channels: 3 } as const
  return new Uint8Array(await sharp(pixels, { raw }).png().toBuffer())
}

/**
 * By content, never by name. What else the library reads stays outside: an SVG is a program that strangers
 * could send, and text of any kind looks like one.
 */
function isImage(bytes: Uint8Array): boolean {
  const begins = (text: string, at = 0): boolean =>
    [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0))
  const isWebp = begins('RIFF') && begins('WEBP', 8)
  return isWebp || ['\xff\xd8\xff', '\x89PNG\r\n\x1a\n', 'GIF8'].some((magic) => begins(magic))
}

/** size x size x 3. */
async function readPixels(bytes: Uint8Array, size: number): Promise<Uint8Array> {
  try {
    return await sharp(bytes, { limitInputPixels: PIXELS_MAX, failOn: 'truncated' })
      .rotate()
      .flatten({ background: 'white' })
      .resize(size, size, { fit: 'cover' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer()
  } catch (cause) {
    throw new ImageError(explain(cause), { cause })
  }
}

function explain(cause: unknown): string {
  const [line = 'unknown'] = `${cause instanceof Error ? cause.message : cause}`.trim().split('\n')
  if (/pixel limit/i.test(line)) return `more than ${PIXELS_MAX / 1e6} megapixels`
  return `damaged: ${line.replace(/^Input buffer has corrupt header: ?/, '') || 'cannot be decoded'}`
}
