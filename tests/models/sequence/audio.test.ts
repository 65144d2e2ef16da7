// Sound in and out: every sample format to the same units, and nothing but a named error for the
// rest.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  AudioError,
  type AudioFault,
  decodeWav,
  encodeWav,
} from '../../../models/sequence/audio.ts'
import { decodeAudio, decodeFlac } from '../../../models/sequence/flac.ts'

interface Layout {
  readonly tag: number
  readonly bits: number
  readonly channels?: number
  readonly isExtensible?: boolean
  readonly rate?: number
  /** Chunks between the format and the data. */
  readonly between?: readonly Uint8Array[]
  readonly declaredBytes?: number
}

const guid = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71]

function chunk(tag: string, body: Uint8Array, declared = body.length): Uint8Array {
  const bytes = new Uint8Array(8 + body.length + (body.length % 2))
  bytes.set(new TextEncoder().encode(tag))
  new DataView(bytes.buffer).setUint32(4, declared, true)
  bytes.set(body, 8)
  return bytes
}

function wav(layout: Layout, data: Uint8Array): Uint8Array {
  const { tag, bits, channels = 1, isExtensible = false, rate = 8000, between = [] } = layout
  const format = new DataView(new ArrayBuffer(isExtensible ? 40 : 16))
  format.setUint16(0, isExtensible ? 0xfffe : tag, true)
  format.setUint16(2, channels, true)
  format.setUint32(4, rate, true)
  format.setUint32(8, (rate * channels * bits) / 8, true)
  format.setUint16(12, (channels * bits) / 8, true)
  format.setUint16(14, bits, true)
  if (isExtensible) {
    format.setUint16(24, tag, true)
    for (const [i, byte] of guid.entries()) format.setUint8(26 + i, byte)
  }
  const parts = [
    new TextEncoder().encode('WAVE'),
    chunk('fmt ', new Uint8Array(format.buffer)),
    ...between,
    chunk('data', data, layout.declaredBytes),
  ]
  return chunk('RIFF', new Uint8Array(parts.flatMap((part) => [...part])))
}

/** Writes samples in 16-bit units in each format: the inverse of what is tested. */
const writers: Record<string, (view: DataView, at: number, value: number) => void> = {
  '1/8': (view, at, value) => view.setUint8(at, value / 256 + 128),
  '1/16': (view, at, value) => view.setInt16(at, value, true),
  '1/24': (view, at, value) => {
    const integer = value * 256
    for (let i = 0; i < 3; i++) view.setUint8(at + i, (integer >> (8 * i)) & 255)
  },
  '1/32': (view, at, value) => view.setInt32(at, value * 65536, true),
  '3/32': (view, at, value) => view.setFloat32(at, value / 32768, true),
  '3/64': (view, at, value) => view.setFloat64(at, value / 32768, true),
}

function dataOf(format: string, values: readonly number[]): Uint8Array {
  const bytes = Number(format.split('/')[1]) / 8
  const view = new DataView(new ArrayBuffer(values.length * bytes))
  for (const [i, value] of values.entries()) writers[format]!(view, i * bytes, value)
  return new Uint8Array(view.buffer)
}

function faultOf(decode: () => unknown): AudioFault {
  try {
    decode()
  } catch (error) {
    if (!(error instanceof AudioError)) throw error
    expect(error.message).toStartWith('x.wav: ')
    expect(error.message).not.toContain('\n')
    return error.fault
  }
  throw new Error('decoded what it should refuse')
}

const pcm16: Layout = { tag: 1, bits: 16 }

describe('decodeWav', () => {
  for (const format of Object.keys(writers)) {
    const [tag, bits] = format.split('/').map(Number) as [number, number]
    test(`format ${format} is read in 16-bit units from the first channel`, () => {
      const values = [0, 256, -256, 32512, -32768, 4864]
      for (const isExtensible of [false, true]) {
        for (const channels of [1, 2, 5]) {
          const all = values.flatMap((v) => [v, ...new Array<number>(channels - 1).fill(1024)])
          const bytes = wav({ tag, bits, channels, isExtensible, rate: 11025 }, dataOf(format, all))
          const { samples, rate } = decodeWav(bytes, 'x.wav')
          expect([...samples]).toEqual(values)
          expect(rate).toBe(11025)
        }
      }
    })
  }

  test('24 bits keep what 16 cannot hold', () => {
    const data = new Uint8Array([1, 0, 0, 255, 255, 255])
    expect([...decodeWav(wav({ tag: 1, bits: 24 }, data), 'x.wav').samples]).toEqual([
      1 / 256,
      -1 / 256,
    ])
  })

  test('chunks of odd length, and bytes after the data, are passed over', () => {
    const between = [chunk('LIST', new Uint8Array(7)), chunk('junk', new Uint8Array(0))]
    const bytes = wav({ ...pcm16, between }, dataOf('1/16', [1, 2, 3]))
    const longer = new Uint8Array([...bytes, 9, 9, 9])
    expect([...decodeWav(longer, 'x.wav').samples]).toEqual([1, 2, 3])
  })

  test('a file written to a pipe, its length unknown, is read to its end', () => {
    for (const declaredBytes of [0xffffffff, 0x7fffffff, 0x7ffff000]) {
      const bytes = wav({ ...pcm16, declaredBytes }, dataOf('1/16', [5, -6]))
      expect([...decodeWav(bytes, 'x.wav').samples]).toEqual([5, -6])
    }
  })

  test('bytes at any offset of a buffer are read alike', () => {
    const bytes = encodeWav(Float32Array.of(1, -2, 300), 8000)
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    expect([...decodeWav(shifted.subarray(1), 'x.wav').samples]).toEqual([1, -2, 300])
  })

  test('what cannot be used is refused by its kind', () => {
    const whole = wav(pcm16, dataOf('1/16', [1, 2, 3]))
    const refused: [AudioFault, Uint8Array][] = [
      ['empty', new Uint8Array()],
      ['not audio', new TextEncoder().encode('<!DOCTYPE html>')],
      ['not audio', chunk('RIFF', new TextEncoder().encode('AVI LIST'))],
      ['truncated', whole.subarray(0, whole.length - 3)],
      ['truncated', whole.subarray(0, 30)],
      ['truncated', whole.subarray(0, 12)],
      ['truncated', wav({ ...pcm16, declaredBytes: 5 }, new Uint8Array(6))],
      ['empty', wav(pcm16, new Uint8Array())],
      ['unknown format', wav({ tag: 7, bits: 8 }, new Uint8Array(4))],
      ['unknown format', wav({ tag: 1, bits: 20 }, new Uint8Array(5))],
      ['unknown format', wav({ ...pcm16, channels: 0 }, new Uint8Array(4))],
      ['unknown format', wav({ ...pcm16, rate: 0 }, new Uint8Array(4))],
      ['unknown format', wav({ ...pcm16, rate: 4e9 }, new Uint8Array(4))],
      ['unknown format', wav({ tag: 3, bits: 32 }, new Uint8Array([0, 0, 0xc0, 0x7f]))],
    ]
    for (const [fault, bytes] of refused) {
      expect(faultOf(() => decodeWav(bytes, 'x.wav'))).toBe(fault)
    }
    const other = wav({ tag: 1, bits: 16, isExtensible: true }, new Uint8Array(4))
    other[20 + 30] = 0xff
    expect(faultOf(() => decodeWav(other, 'x.wav'))).toBe('unknown format')
  })

  test('damaged bytes yield finite samples or an AudioError, never more samples than bytes', () => {
    const whole = [
      encodeWav(
        Float32Array.from({ length: 20 }, (_, i) => i * 100),
        8000,
      ),
      wav({ tag: 3, bits: 32, channels: 2, isExtensible: true }, new Uint8Array(64)),
    ]
    fc.assert(
      fc.property(
        fc.constantFrom(...whole),
        fc.nat(110),
        fc.array(fc.tuple(fc.nat(80), fc.nat(255)), { maxLength: 6 }),
        (original, cut, changes) => {
          const bytes = original.slice(0, cut)
          for (const [at, value] of changes) if (at < bytes.length) bytes[at] = value
          try {
            const { samples, rate } = decodeWav(bytes, 'x.wav')
            expect(samples.length).toBeLessThan(bytes.length)
            expect(samples.every(Number.isFinite)).toBe(true)
            expect(rate).toBeGreaterThan(0)
          } catch (error) {
            if (!(error instanceof AudioError)) throw error
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('encodeWav', () => {
  test('16-bit samples come back as they were; larger ones are clipped', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -32768, max: 32767 }), { minLength: 1 }), (values) => {
        const { samples } = decodeWav(encodeWav(Float32Array.from(values), 8000), 'x.wav')
        expect([...samples]).toEqual(values)
      }),
    )
    const { samples } = decodeWav(encodeWav(Float32Array.of(40000, -40000, 0.6), 8000), 'x.wav')
    expect([...samples]).toEqual([32767, -32768, 1])
  })
})

// Made by flac 1.4.2 from the formulas below: 16 bits mono, and 24 bits stereo.
const flacMono = Buffer.from(
  'ZkxhQ4AAACIQABAAAADPAADPAfQA8AAAASzBRITdM9iH9qf0fW9PirsX//h0CAABK1EVIPoGuAcREREREREAAYCIiIiI' +
    'iIiAFgD4iIiIiIiDAABEREREREREAAHlxEREREREABADIiIiIiIiA8AC4iIiIiIiIAABkREREREREAAWHxEREREREAMA' +
    'CIiIiIiIiCwAD4iIiIiIiIAAEGREREREREADwFxEREREREAgADIiIiIiIiIAABcREREREREAAYCIiIiIiIiAFgD4iIi' +
    'IiIiDAABEREREREREAAHlxEREREREABADIiIiIiIiA8AC4iIiIiIiAKGv',
  'base64',
)
const flacStereo24 = Buffer.from(
  'ZkxhQ4AAACIQABAAAAEbAAEbA+gDcAAAAGTkjWf0mJdFbJwB7Vj/qMbT//hlHABj0hQH0AAGuAEDoABAAIABAAIABAAI' +
    'ABAAIABAAIABAAIAAABgAAQACAAQACAAQACAAQACAAQACAAQACAAQAABf/wB//4ABAAIABAAIABAAIABAAIABAAIABAAD' +
    'AAAACAAQACAAQACAAQACAAQACAAQACAAQACAAQAAAA//5f/4ABAAIABAAIABAAIABAAIABAAIABAAAAgAADAAQACAAQA' +
    'CAAQACAAQACAAQACAAQACAAB//wAL//AAIABAAIABAAIABAAIABAAIABAAIAAKn/+Df/ykA4iIiIiIiIAAsPiIiIiIiI' +
    'AYAEREREREREFgAHxEREREREQAAIMiIiIiIiIAHgLiIiIiIiIBAAGRERERERECTBA==',
  'base64',
)
// 4096 samples of 100, 4096 of -7, 512 of 0: a last block that is digital silence takes 11 bytes.
const flacSilentEnd = Buffer.from(
  'ZkxhQwAAACIQABAAAAALAAALAfQA8AAAIgDMTxMwZBokUFpHPVLBL5f6hAAAKCAAAAByZWZlcmVuY2UgbGliRkxBQyAxLjQu' +
    'MiAyMDIyMTAyMgAAAAD/+MQIAAQBQBl4EP/4xAgBAwD/+RQ1//iUCAIuAAAAJas=',
  'base64',
)
const zigzag = (n: number): number => 40 * Math.abs(((n * 7) % 200) - 100) - 2000

describe('decodeFlac', () => {
  test('every sample is exact, at 16 bits and at 24, from the first channel', async () => {
    const mono = await decodeAudio(flacMono, 'x.flac')
    expect(mono.rate).toBe(8000)
    expect([...mono.samples]).toEqual(Array.from({ length: 300 }, (_, n) => zigzag(n)))
    const stereo = await decodeAudio(flacStereo24, 'x.flac')
    expect(stereo.rate).toBe(16000)
    expect([...stereo.samples]).toEqual(Array.from({ length: 100 }, (_, n) => zigzag(n) + n / 256))
  })

  test('a short last block of digital silence is not lost', async () => {
    const { samples } = await decodeAudio(flacSilentEnd, 'x.flac')
    expect(samples.length).toBe(2 * 4_096 + 512)
    expect([samples[0], samples[4_096], samples.at(-1)]).toEqual([100, -7, 0])
  })

  test('a file cut anywhere is refused as an AudioError', async () => {
    for (let length = 0; length < flacMono.length; length += 16) {
      await expect(decodeFlac(flacMono.subarray(0, length), 'x.flac')).rejects.toBeInstanceOf(
        AudioError,
      )
    }
  })

  test('a damaged file is decoded or refused, never anything else', async () => {
    const change = fc.tuple(fc.integer({ min: 4, max: flacMono.length - 1 }), fc.nat(255))
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const bytes = new Uint8Array(flacMono)
        for (const [at, value] of changes) bytes[at] = value
        const result = await decodeFlac(bytes, 'x.flac').catch((error: unknown) => error)
        if (!(result instanceof AudioError)) expect(result).toHaveProperty('samples')
      }),
      { numRuns: 100 },
    )
    // A decoder is started for each: on a busy machine that takes long.
  }, 30_000)

  test('the first bytes choose the decoder', async () => {
    const bytes = encodeWav(Float32Array.of(7), 8000)
    expect([...(await decodeAudio(bytes, 'named.flac')).samples]).toEqual([7])
    const other = decodeAudio(new Uint8Array(100), 'x.mp3')
    await expect(other).rejects.toThrow('x.mp3: neither RIFF WAVE nor FLAC')
  })
})
