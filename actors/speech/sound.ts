// The bytes of a sound that somebody sent, to frames that a network can see.
import { AudioError } from '../../models/sequence/audio.ts'
import type { Features } from '../../models/sequence/features.ts'
import { decodeAudio } from '../../models/sequence/flac.ts'
import { resample } from '../../models/sequence/resample.ts'
import { insightLimits } from '../insight.ts'
import { refusalOf } from './preparation.ts'

/** A minute, as in training: what the decoder remembers grows with the sound. */
export const FRAMES_MAX = 6_000

/** WAV or FLAC; or why it is none that can be used. */
export async function framesOf(
  audio: Uint8Array,
  {
    features,
    rate,
    framesMax,
  }: {
    readonly features: (samples: Float32Array) => Features
    readonly rate: number
    readonly framesMax: number
  },
): Promise<Features | string> {
  const { inputBytesMax } = insightLimits
  if (audio.length > inputBytesMax) return `${audio.length} bytes: give at most ${inputBytesMax}`
  try {
    const sound = await decodeAudio(audio, 'the sound')
    const seconds = sound.samples.length / sound.rate
    if (seconds > framesMax / 100)
      return `${seconds.toFixed(0)} s long: at most ${framesMax / 100} s`
    const made = features(resample(sound.samples, sound.rate, rate))
    return refusalOf(made, framesMax) ?? made
  } catch (error) {
    if (error instanceof AudioError) return error.message
    throw error
  }
}
