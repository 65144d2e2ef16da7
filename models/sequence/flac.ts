// FLAC files, and the choice of a decoder by the first bytes of a file.
// The only file that imports '@wasm-audio-decoders/flac'.
import { FLACDecoder } from '@wasm-audio-decoders/flac'
import { type Audio, AudioError, audioLimits, decodeWav, isTagged, isWav } from './audio.ts'

/** Decodes whatever its first bytes say it is; `name` is for messages. */
export async function decodeAudio(bytes: Uint8Array, name: string): Promise<Audio> {
  if (isFlac(bytes)) return decodeFlac(bytes, name)
  if (isWav(bytes)) return decodeWav(bytes, name)
  const remedy = 'convert it to 16-bit PCM .wav'
  throw new AudioError('not audio', `${name}: neither RIFF WAVE nor FLAC; ${remedy}`)
}

export function isFlac(bytes: Uint8Array): boolean {
  return isTagged(bytes, 0, 'fLaC')
}

export async function decodeFlac(bytes: Uint8Array, name: string): Promise<Audio> {
  const { rate, bits, length } = readStreamHeader(bytes, name)
  const { samples, channels, count, isAsDeclared } = await decodeFirstChannel(bytes, {
    name,
    rate,
    bits,
  })
  // The decoder passes over frames it cannot read; only the count in the header tells.
  if (count === 0 || !isAsDeclared || (length > 0 && count !== length)) {
    const sizes = `${count} of ${length || 'an unknown number of'} samples can be read`
    throw new AudioError('truncated', `${name}: cut short or damaged (${sizes}); copy it again`)
  }
  // The decoder divides integers by the largest positive one, 2^(bits - 1) - 1.
  const [largest, unit] = [2 ** (bits - 1) - 1, 2 ** (bits - 16)]
  for (let i = 0; i < count; i++) samples[i] = Math.round(samples[i]! * largest) / unit
  return { samples: samples.subarray(0, count), rate, channels }
}

/** STREAMINFO, always the first metadata block (RFC 9639, section 8.2); length 0 = unknown. */
function readStreamHeader(
  bytes: Uint8Array,
  name: string,
): { rate: number; bits: number; length: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (!isFlac(bytes)) throw new AudioError('not audio', `${name}: no FLAC file; give .wav or .flac`)
  if (bytes.length < 42) {
    throw new AudioError('truncated', `${name}: cut short in its header; copy it again`)
  }
  const packed = view.getUint32(18)
  const rate = packed >>> 12
  const bits = ((packed >>> 4) & 31) + 1
  const isStreamInfo = (bytes[4]! & 0x7f) === 0
  if (!isStreamInfo || rate === 0 || rate > audioLimits.rateMax || bits < 4) {
    const what = 'a FLAC header without sampling rate or sample size'
    throw new AudioError('unknown format', `${name}: ${what}; encode it again`)
  }
  return { rate, bits, length: (packed & 15) * 2 ** 32 + view.getUint32(22) }
}

/** The decoder looks beyond a frame before it believes it: a short last one (silence) would be lost. */
const PADDING_BYTES = 16

async function decodeFirstChannel(
  bytes: Uint8Array,
  declared: { readonly name: string; readonly rate: number; readonly bits: number },
): Promise<{ samples: Float32Array; channels: number; count: number; isAsDeclared: boolean }> {
  const decoder = new FLACDecoder()
  await decoder.ready
  try {
    const padded = new Uint8Array(bytes.length + PADDING_BYTES)
    padded.set(bytes)
    const decoded = await decoder.decodeFile(padded)
    const samples = decoded.channelData[0] ?? new Float32Array()
    return {
      samples,
      channels: decoded.channelData.length,
      count: Math.min(samples.length, decoded.samplesDecoded),
      isAsDeclared: decoded.sampleRate === declared.rate && decoded.bitDepth === declared.bits,
    }
  } catch (cause) {
    const remedy = 'copy it again or convert it to .wav'
    throw new AudioError('truncated', `${declared.name}: damaged FLAC data; ${remedy}`, { cause })
  } finally {
    decoder.free()
  }
}
