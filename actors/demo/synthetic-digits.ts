// Recordings of digits by synthetic voices, for a demo without data: espeak-ng as WebAssembly, which is
// GPL and therefore an optional dependency that only makes data. The only file that imports it.
import { encodeWav } from '../../models/sequence/audio.ts'
import { digitWords } from '../../models/sequence/recordings.ts'
import { resample } from '../../models/sequence/resample.ts'
import { type Random, randomFor, shuffle } from '../../protocol/random.ts'
import type { Disk } from '../../runtime/environment.ts'

export interface VoicePlan {
  /** 'speaker07': stands in the file names. */
  readonly speaker: string
  /** As espeak-ng names it: accent + variant. */
  readonly voice: string
  readonly seed: number
}

export class SynthesisError extends Error {
  override readonly name = 'SynthesisError'
}

const ACCENTS = [
  'en-us',
  'en',
  'en-gb-scotland',
  'en-gb-x-rp',
  'en-gb-x-gbclan',
  'en-gb-x-gbcwmd',
  'en-029',
  'en-us-nyc',
]
/**
 * Not f2, f3 and f5: their breath is noise that espeak-ng seeds with the time of day, so that no seed
 * gives the same bytes again.
 */
const VARIANTS = [
  'm1',
  'm2',
  'm3',
  'm4',
  'm5',
  'm6',
  'm7',
  'f1',
  'linda',
  'belinda',
  'f4',
  'steph',
  'klatt',
  'klatt2',
  'croak',
]
const RATE = 8_000
/** Of the largest sample: what is quieter at either end is silence. */
const SILENCE_PART = 0.02

/** Voices drawn from all accents and variants: the same for a seed. */
export function planVoices(seed: number, count: number): VoicePlan[] {
  const all = ACCENTS.flatMap((accent) => VARIANTS.map((variant) => `${accent}+${variant}`))
  const random = randomFor(seed, 'voices')
  return shuffle(all, random)
    .slice(0, count)
    .map((voice, index) => ({ speaker: `voice${String(index).padStart(2, '0')}`, voice, seed }))
}

/** Writes `{digit}_{speaker}_{take}.wav` for every digit; answers how many. */
export async function speakDigits(
  disk: Disk,
  folder: string,
  plan: VoicePlan,
  takes: number,
): Promise<number> {
  const speak = await openVoice(plan.voice)
  const random = randomFor(plan.seed, plan.speaker)
  const pitch = 25 + random.below(50)
  const rate = 130 + random.below(80)
  for (const [digit, word] of digitWords.entries()) {
    for (let take = 0; take < takes; take++) {
      const samples = speak(word, vary(random, { pitch, rate }))
      const wav = encodeWav(trimSilence(samples), RATE)
      disk.write(`${folder}/${digit}_${plan.speaker}_${take}.wav`, wav)
    }
  }
  return digitWords.length * takes
}

interface Prosody {
  /** 0 to 99. */
  readonly pitch: number
  /** Words a minute. */
  readonly rate: number
}

function vary(random: Random, { pitch, rate }: Prosody): Prosody {
  return {
    pitch: Math.max(0, Math.min(99, Math.round(pitch + 8 * random.normal()))),
    rate: Math.max(100, Math.min(300, Math.round(rate * (1 + 0.15 * random.normal())))),
  }
}

/** What of espeak-ng's binding is used here. */
interface Synthesiser {
  get_samplerate(): number
  set_voice(name: string): number
  set_rate(rate: number): void
  set_pitch(pitch: number): void
  synthesize(text: string, take: (audio: Int16Array | null) => boolean): void
}

/** A fresh instance for every voice: its state, and so its samples, depend on nothing spoken before. */
async function openVoice(voice: string): Promise<(word: string, prosody: Prosody) => Float32Array> {
  const { default: instantiate } = await import('@echogarden/espeak-ng-emscripten').catch(
    (cause) => {
      const remedy = 'bun add --optional @echogarden/espeak-ng-emscripten, or give --data to train'
      throw new SynthesisError(`the demo's voices need espeak-ng: ${remedy}`, { cause })
    },
  )
  const { eSpeakNGWorker: Worker } = await instantiate()
  const synthesiser: Synthesiser = await new Worker()
  if (synthesiser.set_voice(voice) !== 0)
    throw new SynthesisError(`espeak-ng has no voice ${voice}`)
  return (word, { pitch, rate }) => {
    synthesiser.set_rate(rate)
    synthesiser.set_pitch(pitch)
    const chunks: Int16Array[] = []
    synthesiser.synthesize(word, (audio) => {
      if (audio) chunks.push(audio.slice())
      return false
    })
    return resample(joined(chunks), synthesiser.get_samplerate(), RATE)
  }
}

function joined(chunks: readonly Int16Array[]): Float32Array {
  const samples = new Float32Array(chunks.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const chunk of chunks) {
    samples.set(chunk, at)
    at += chunk.length
  }
  return samples
}

function trimSilence(samples: Float32Array): Float32Array {
  const largest = samples.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
  const isLoud = (value: number): boolean => Math.abs(value) > SILENCE_PART * largest
  const start = samples.findIndex(isLoud)
  const end = samples.findLastIndex(isLoud) + 1
  return samples.slice(Math.max(0, start), end)
}
