// Sampled sound in memory, and RIFF WAVE (.wav) as the way in and out. FLAC is read by flac.ts.
// Samples are in units of 16-bit PCM (-32768 to 32767), whatever the file held: Kaldi's convention,
// which energy floors and logarithms of features depend on. Of several channels the first is taken,
// as there.

export interface Audio {
  readonly samples: Float32Array
  /** Samples per second. */
  readonly rate: number
  /** Of the file; the samples are of the first. Absent: one. */
  readonly channels?: number
}

export type AudioFault = 'not audio' | 'truncated' | 'unknown format' | 'empty'

/** A recording cannot be used: the message names the file and what to do about it. */
export class AudioError extends Error {
  override readonly name = 'AudioError'
  readonly fault: AudioFault
  constructor(fault: AudioFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.fault = fault
  }
}

export const audioLimits = { rateMax: 768_000 } as const

/** Integer PCM of 8, 16, 24 or 32 bits and float of 32 or 64; `name` is for messages. */
export function decodeWav(bytes: Uint8Array, name: string): Audio {
  if (bytes.length === 0) throw new AudioError('empty', `${name}: an empty file; remove it`)
  if (!isWav(bytes)) {
    throw new AudioError('not audio', `${name}: no RIFF WAVE file; convert it to 16-bit PCM .wav`)
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const chunks = findChunks(view, name)
  const { rate, channels, blockBytes, sampleAt } = readFormat(view, chunks.format, name)
  const { start, length, isStreamed } = chunks.data
  if (length % blockBytes !== 0 && !isStreamed) {
    const sizes = `${length} bytes of data, ${blockBytes} bytes a sample`
    throw new AudioError('truncated', `${name}: ends inside a sample (${sizes}); copy it again`)
  }
  const samples = new Float32Array(Math.floor(length / blockBytes))
  if (samples.length === 0) throw new AudioError('empty', `${name}: holds no samples; remove it`)
  for (let i = 0, at = start; i < samples.length; i++, at += blockBytes) {
    samples[i] = sampleAt(view, at)
  }
  return { samples: finite(samples, name), rate, channels }
}

export function isWav(bytes: Uint8Array): boolean {
  return isTagged(bytes, 0, 'RIFF') && isTagged(bytes, 8, 'WAVE')
}

/** 16-bit mono PCM; what does not fit is clipped. */
export function encodeWav(samples: Float32Array, rate: number): Uint8Array {
  const bytes = new Uint8Array(44 + 2 * samples.length)
  const view = new DataView(bytes.buffer)
  const tag = (at: number, text: string): void => {
    for (let i = 0; i < 4; i++) bytes[at + i] = text.charCodeAt(i)
  }
  tag(0, 'RIFF')
  view.setUint32(4, bytes.length - 8, true)
  tag(8, 'WAVE')
  tag(12, 'fmt ')
  view.setUint32(16, 16, true)
  view.setUint16(20, 1, true)
  view.setUint16(22, 1, true)
  view.setUint32(24, rate, true)
  view.setUint32(28, 2 * rate, true)
  view.setUint16(32, 2, true)
  view.setUint16(34, 16, true)
  tag(36, 'data')
  view.setUint32(40, 2 * samples.length, true)
  for (let i = 0; i < samples.length; i++) {
    const clipped = Math.max(-32768, Math.min(32767, Math.round(samples[i]!)))
    view.setInt16(44 + 2 * i, clipped, true)
  }
  return bytes
}

/**
 * A file of float samples may hold NaN or infinities, which would spread through every statistic.
 */
export function finite(samples: Float32Array, name: string): Float32Array {
  for (let i = 0; i < samples.length; i++) {
    if (Number.isFinite(samples[i])) continue
    throw new AudioError('unknown format', `${name}: sample ${i} is not finite; convert it again`)
  }
  return samples
}

export function isTagged(bytes: Uint8Array, at: number, tag: string): boolean {
  for (let i = 0; i < tag.length; i++) if (bytes[at + i] !== tag.charCodeAt(i)) return false
  return true
}

interface Chunk {
  readonly start: number
  readonly length: number
  /** Written to a pipe: the length was not known, the data go on to the end of the file. */
  readonly isStreamed: boolean
}

// Lengths that FFmpeg (all ones) and SoX (the other two) declare when they cannot seek back.
const streamedLengths = new Set([0xffffffff, 0x7fffffff, 0x7ffff000])

/** RIFF chunks are padded to even length; writers that forget the last pad byte are forgiven. */
function findChunks(view: DataView, name: string): { format: Chunk; data: Chunk } {
  let format: Chunk | undefined
  let at = 12
  while (at + 8 <= view.byteLength) {
    const tag = view.getUint32(at)
    const declared = view.getUint32(at + 4, true)
    const start = at + 8
    const left = view.byteLength - start
    const isStreamed = tag === DATA && streamedLengths.has(declared) && declared > left
    const length = isStreamed ? left : declared
    if (length > left) {
      const sizes = `declares ${declared} bytes, has ${left}`
      throw new AudioError('truncated', `${name}: cut short (${sizes}); copy or record it again`)
    }
    if (tag === FORMAT) format ??= { start, length, isStreamed }
    if (tag === DATA) {
      if (format) return { format, data: { start, length, isStreamed } }
      throw new AudioError('not audio', `${name}: data before its format; convert it again`)
    }
    at = start + length + (length % 2)
  }
  throw new AudioError('truncated', `${name}: has no data chunk; copy or record it again`)
}

const FORMAT = 0x666d7420
const DATA = 0x64617461

interface Format {
  readonly rate: number
  readonly channels: number
  /** Bytes of one sample of all channels. */
  readonly blockBytes: number
  readonly sampleAt: SampleReader
}

type SampleReader = (view: DataView, at: number) => number

/** By format tag and container bits. 8-bit samples are unsigned with 128 as zero. */
const sampleReaders: { readonly [format: string]: SampleReader } = {
  '1/8': (view, at) => (view.getUint8(at) - 128) * 256,
  '1/16': (view, at) => view.getInt16(at, true),
  '1/24': (view, at) => view.getInt16(at + 1, true) + view.getUint8(at) / 256,
  '1/32': (view, at) => view.getInt32(at, true) / 65536,
  '3/32': (view, at) => view.getFloat32(at, true) * 32768,
  '3/64': (view, at) => view.getFloat64(at, true) * 32768,
}

const EXTENSIBLE = 0xfffe

/** Encodings that are not read, as people call them (RFC 2361). */
const formatNames: { readonly [tag: number]: string } = {
  1: 'PCM',
  2: 'Microsoft ADPCM',
  3: 'floating point',
  6: 'A-law',
  7: 'mu-law',
  17: 'IMA ADPCM',
  49: 'GSM 6.10',
  85: 'MP3',
}

function formatName(tag: number): string {
  return formatNames[tag] ?? `format 0x${tag.toString(16)}`
}

/** The rest of the GUID that stands for a format tag: xxxxxxxx-0000-0010-8000-00aa00389b71. */
const guidTail = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]

function readFormat(view: DataView, { start, length }: Chunk, name: string): Format {
  const unknown = (what: string): never => {
    throw new AudioError('unknown format', `${name}: ${what}; convert it to 16-bit PCM .wav`)
  }
  if (length < 16) unknown(`a format chunk of ${length} bytes`)
  let tag = view.getUint16(start, true)
  const channels = view.getUint16(start + 2, true)
  const rate = view.getUint32(start + 4, true)
  const blockBytes = view.getUint16(start + 12, true)
  const bits = view.getUint16(start + 14, true)
  if (tag === EXTENSIBLE) {
    const isTag =
      length >= 40 && guidTail.every((byte, i) => view.getUint8(start + 26 + i) === byte)
    tag = isTag ? view.getUint16(start + 24, true) : EXTENSIBLE
  }
  const sampleAt = sampleReaders[`${tag}/${bits}`]
  if (!sampleAt) return unknown(`samples of ${formatName(tag)} with ${bits} bits`)
  if (channels === 0 || blockBytes !== (channels * bits) / 8) {
    unknown(`${channels} channels of ${bits} bits in blocks of ${blockBytes} bytes`)
  }
  if (rate === 0 || rate > audioLimits.rateMax) unknown(`a sampling rate of ${rate} Hz`)
  return { rate, channels, blockBytes, sampleAt }
}
