// Connected digits made of recordings of single ones: 3 to 7 of one speaker with gaps between,
// before and after, under noise that is half white, half babble of other speakers, at a stated
// signal-to-noise ratio. A manifest says everything: the same manifest and recordings are the same
// samples.
import { assert } from '../../protocol/assert.ts'
import { type Random, randomFor, shuffle } from '../../protocol/random.ts'
import type { Audio } from './audio.ts'
import { type Corpus, CorpusError } from './corpus.ts'
import type { Recording, RecordingSounds } from './recordings.ts'

/** Plain JSON. */
export interface StringManifest {
  readonly seed: number
  readonly rate: number
  /** Signal-to-noise ratio in dB, relative to the mean power inside the digits. */
  readonly snr: number
  /** Ids of the recordings that babble is made of: those of this set, never of another. */
  readonly recordings: readonly RecordingName[]
  readonly strings: readonly StringPlan[]
}

export interface StringPlan {
  readonly id: string
  readonly speaker: string
  readonly words: readonly string[]
  /** Ids, one a word. */
  readonly recordings: readonly string[]
  /** Samples before each word and after the last: one more than words. */
  readonly gaps: readonly number[]
}

type RecordingName = Pick<Recording, 'id' | 'speaker'>

export interface StringOptions {
  /** Begins the id of every string, and separates the random streams of sets. */
  readonly set: string
  readonly seed: number
  readonly count: number
  readonly rate: number
  readonly snr: number
}

export const stringLimits = {
  wordsMin: 3,
  wordsMax: 7,
  gapMsMin: 50,
  gapMsMax: 300,
  /** Standard deviation of the noise in gaps, in 16-bit PCM units. */
  gapDeviation: 5,
  babbleVoices: 4,
} as const

/** Every recording of a speaker is used once before any is used again; speakers take turns. */
export function planStrings(
  recordings: readonly Recording[],
  { set, seed, count, rate, snr }: StringOptions,
): StringManifest {
  if (recordings.length === 0) throw new CorpusError(`${set}: no recordings to make strings of`)
  const { wordsMin, wordsMax, gapMsMin, gapMsMax } = stringLimits
  const random = randomFor(seed, 'strings', set)
  const decks = [...Map.groupBy(recordings, ({ speaker }) => speaker).values()].map((of) => ({
    of,
    left: [] as Recording[],
    used: 0,
  }))
  const [gapMin, gapMax] = [gapMsMin, gapMsMax].map((ms) => Math.round((ms * rate) / 1000)) as [
    number,
    number,
  ]
  const digits = String(Math.max(count - 1, 0)).length
  const strings = Array.from({ length: count }, (_, number): StringPlan => {
    const deck = decks.reduce((a, b) => (b.used / b.of.length < a.used / a.of.length ? b : a))
    const words = wordsMin + random.below(wordsMax - wordsMin + 1)
    const drawn = Array.from({ length: words }, () => {
      if (deck.left.length === 0) deck.left = shuffle([...deck.of], random)
      deck.used += 1
      return deck.left.pop()!
    })
    return {
      id: `${set}-${String(number).padStart(digits, '0')}`,
      speaker: deck.of[0]!.speaker,
      words: drawn.map(({ word }) => word),
      recordings: drawn.map(({ id }) => id),
      gaps: Array.from({ length: words + 1 }, () => gapMin + random.below(gapMax - gapMin + 1)),
    }
  })
  return {
    seed,
    rate,
    snr,
    recordings: recordings.map(({ id, speaker }) => ({ id, speaker })),
    strings,
  }
}

/** Where a word truly lies: first sample, and the one after its last. */
export interface Cut {
  readonly word: string
  readonly start: number
  readonly end: number
}

export interface DigitString extends Audio {
  readonly cuts: readonly Cut[]
}

export interface StringMaker {
  /** Without noise over the string if `clean`; gaps are the same either way. */
  make(plan: StringPlan, options?: { readonly clean?: boolean }): DigitString
}

/** Scratch memory and the powers of recordings are kept from one string to the next. */
export function stringMaker(manifest: StringManifest, sounds: RecordingSounds): StringMaker {
  if (manifest.rate !== sounds.rate) {
    const rates = `strings at ${manifest.rate} Hz, recordings at ${sounds.rate} Hz`
    throw new CorpusError(`${rates}; load the recordings at the rate of the manifest`)
  }
  const noise = noiseMaker(manifest, sounds)
  return {
    make(plan, { clean = false } = {}) {
      const { samples, cuts } = join(plan, sounds, randomFor(manifest.seed, 'gaps', plan.id))
      if (!clean) noise(samples, plan, powerInside(samples, cuts))
      return { samples, cuts, rate: manifest.rate }
    },
  }
}

export function stringCorpus(
  manifest: StringManifest,
  sounds: RecordingSounds,
  options?: { readonly clean?: boolean },
): Corpus {
  const maker = stringMaker(manifest, sounds)
  return {
    utterances: manifest.strings.map((plan) => {
      const { id, speaker, words } = plan
      return { id, speaker, words, load: async () => maker.make(plan, options) }
    }),
    skipped: sounds.skipped,
  }
}

function join(
  plan: StringPlan,
  sounds: RecordingSounds,
  random: Random,
): { samples: Float32Array; cuts: Cut[] } {
  assert(plan.gaps.length === plan.words.length + 1, 'gaps surround every word')
  const parts = plan.recordings.map((id) => soundOf(sounds, id))
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  const samples = new Float32Array(plan.gaps.reduce((sum, gap) => sum + gap, length))
  const cuts: Cut[] = []
  let at = 0
  plan.gaps.forEach((gap, i) => {
    fillNormal(samples.subarray(at, (at += gap)), stringLimits.gapDeviation, random)
    const part = parts[i]
    if (!part) return
    samples.set(part, at)
    cuts.push({ word: plan.words[i]!, start: at, end: (at += part.length) })
  })
  return { samples, cuts }
}

function powerInside(samples: Float32Array, cuts: readonly Cut[]): number {
  let [energy, count] = [0, 0]
  for (const { start, end } of cuts) {
    energy += energyOf(samples, start, end)
    count += end - start
  }
  return energy / Math.max(1, count)
}

/**
 * Adds noise of `signalPower` / 10^(snr / 10): each half has exactly half of it over the string.
 */
function noiseMaker(
  manifest: StringManifest,
  sounds: RecordingSounds,
): (samples: Float32Array, plan: StringPlan, signalPower: number) => void {
  const voices = Map.groupBy(
    manifest.recordings.filter(({ id }) => sounds.samples.has(id)),
    ({ speaker }) => speaker,
  )
  let scratch = { white: new Float32Array(), babble: new Float32Array(), voice: new Float32Array() }
  return (samples, plan, signalPower) => {
    const { length } = samples
    if (scratch.white.length < length) {
      const [white, babble, voice] = [0, 1, 2].map(() => new Float32Array(2 * length))
      scratch = { white: white!, babble: babble!, voice: voice! }
    }
    const white = scratch.white.subarray(0, length)
    const babble = scratch.babble.subarray(0, length).fill(0)
    const voice = scratch.voice.subarray(0, length)
    const random = randomFor(manifest.seed, 'noise', plan.id)
    fillNormal(white, 1, random)
    for (const speaker of drawVoices([...voices.keys()], plan.speaker, random)) {
      speak(voice, voices.get(speaker)!, sounds, random)
      addAtPower(babble, voice, 1)
    }
    const halfPower = signalPower / 10 ** (manifest.snr / 10) / 2
    addAtPower(samples, white, halfPower)
    addAtPower(samples, babble, halfPower)
  }
}

/**
 * Other speakers, all different while there are enough; a corpus of one speaker babbles by itself.
 */
function drawVoices(speakers: string[], speaker: string, random: Random): string[] {
  const others = speakers.filter((other) => other !== speaker)
  const drawn = shuffle(others.length > 0 ? others : speakers, random)
  return Array.from({ length: stringLimits.babbleVoices }, (_, i) => drawn[i % drawn.length]!)
}

/** One recording after the other, without gaps, from a random place in the first. */
function speak(
  voice: Float32Array,
  recordings: readonly RecordingName[],
  sounds: RecordingSounds,
  random: Random,
): void {
  let skip = random.next()
  for (let at = 0; at < voice.length; skip = 0) {
    const sound = soundOf(sounds, recordings[random.below(recordings.length)]!.id)
    const part = sound.subarray(Math.floor(skip * sound.length))
    voice.set(part.subarray(0, voice.length - at), at)
    at += part.length
  }
}

/** Adds `noise` scaled to mean power `power`; digital silence cannot be scaled and adds nothing. */
function addAtPower(into: Float32Array, noise: Float32Array, power: number): void {
  const energy = energyOf(noise, 0, noise.length)
  const gain = energy > 0 ? Math.sqrt((power * noise.length) / energy) : 0
  for (let i = 0; i < into.length; i++) into[i]! += gain * noise[i]!
}

function energyOf(samples: Float32Array, start: number, end: number): number {
  let energy = 0
  for (let i = start; i < end; i++) energy += samples[i]! * samples[i]!
  return energy
}

/**
 * Box-Muller, both values of each pair: half the work of `random.normal()`. Of an odd count the
 * last is lost.
 */
function fillNormal(samples: Float32Array, deviation: number, random: Random): void {
  for (let i = 0; i < samples.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random.next()))
    const angle = 2 * Math.PI * random.next()
    samples[i] = radius * Math.cos(angle)
    samples[i + 1] = radius * Math.sin(angle)
  }
}

function soundOf({ samples }: RecordingSounds, id: string): Float32Array {
  const sound = samples.get(id)
  if (!sound) throw new CorpusError(`recording ${id} is missing; restore it or make a new manifest`)
  return sound
}
