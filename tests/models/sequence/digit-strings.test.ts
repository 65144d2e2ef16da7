// Corpora of joined digits: reproducible from the manifest, balanced, with the noise they state.
import { describe, expect, test } from 'bun:test'
import { decodeWav, encodeWav } from '../../../models/sequence/audio.ts'
import { CorpusError, loadUtterances, type Skipped } from '../../../models/sequence/corpus.ts'
import {
  type DigitString,
  planStrings,
  type StringManifest,
  stringCorpus,
  stringLimits,
  stringMaker,
} from '../../../models/sequence/digit-strings.ts'
import {
  digitWords,
  holdOutTenth,
  loadRecordings,
  openRecordings,
  parseRecordingName,
  type Recording,
  splitByIndex,
} from '../../../models/sequence/recordings.ts'
import { randomFor } from '../../../protocol/random.ts'
import { filesOf, hasSharedRecordings, realFiles, sharedRecordings } from './corpus-files.ts'

const speakers = ['ada', 'bo', 'cy', 'di', 'ed', 'mary_ann']
const rate = 8000

/** Six speakers, ten digits, `count` recordings of each: short noises. */
function smallFolder(count: number): Record<string, Uint8Array> {
  const contents: Record<string, Uint8Array> = {}
  for (const speaker of speakers) {
    for (let digit = 0; digit < 10; digit++) {
      for (let index = 0; index < count; index++) {
        const name = `${digit}_${speaker}_${index}.wav`
        const random = randomFor(name)
        const length = 200 + random.below(200)
        const loudness = 200 + random.below(2000)
        const samples = Float32Array.from({ length }, () => loudness * random.normal())
        contents[`digits/${name}`] = encodeWav(samples, rate)
      }
    }
  }
  return contents
}

const files = filesOf({ ...smallFolder(4), 'digits/README.txt': 'x', 'digits/noise.wav': 'x' })
const { recordings, skipped } = openRecordings('digits', files)
const sounds = loadRecordings(recordings, { files, rate })
const plan = (changes = {}): StringManifest =>
  planStrings(sounds.recordings, { set: 'train', seed: 1, count: 100, rate, snr: 5, ...changes })

const power = (samples: Float32Array, start = 0, end = samples.length): number =>
  samples.subarray(start, end).reduce((sum, value) => sum + value * value, 0) / (end - start)

describe('recordings', () => {
  test('a name gives digit, speaker and index; other names are none', () => {
    expect(parseRecordingName('7_mary_ann_12.wav')).toEqual({
      id: '7_mary_ann_12',
      speaker: 'mary_ann',
      word: 'seven',
      index: 12,
    })
    for (const name of ['12_ada_1.wav', 'x_ada_1.wav', '1_ada.wav', '1_ada_1.mp3', '1__.wav', '']) {
      expect(parseRecordingName(name)).toBeUndefined()
    }
  })

  test('a folder lists every recording in one order, and names what is misnamed', () => {
    expect(recordings.length).toBe(240)
    expect(recordings[0]!.id).toBe('0_ada_0')
    expect(skipped).toEqual([
      { name: 'noise.wav', reason: 'not named {digit}_{speaker}_{index}.wav' },
    ])
    const backwards = { ...files, listFiles: (f: string) => [...files.listFiles(f)].reverse() }
    expect(openRecordings('digits', backwards).recordings).toEqual([...recordings])
  })

  test('a missing folder and one without recordings are refused by name', () => {
    expect(() => openRecordings('nowhere', files)).toThrow(CorpusError)
    expect(() => openRecordings('nowhere', files)).toThrow('nowhere: no such folder')
    expect(() => openRecordings('a', filesOf({ 'a/b.txt': '' }))).toThrow(CorpusError)
  })

  test('a recording that cannot be decoded is skipped by name and takes no part', () => {
    const damaged = filesOf({ ...smallFolder(1), 'digits/3_bo_0.wav': 'nothing' })
    const loaded = loadRecordings(openRecordings('digits', damaged).recordings, {
      files: damaged,
      rate,
    })
    expect(loaded.skipped.map(({ name }) => name)).toEqual(['3_bo_0'])
    expect(loaded.recordings.length).toBe(59)
    const manifest = planStrings(loaded.recordings, { set: 'a', seed: 1, count: 30, rate, snr: 5 })
    expect(manifest.strings.some(({ recordings }) => recordings.includes('3_bo_0'))).toBe(false)
  })

  test('recordings of another rate are resampled', () => {
    const { samples } = loadRecordings(recordings.slice(0, 1), { files, rate: 16_000 })
    const original = decodeWav(files.readFile('digits/0_ada_0.wav'), 'x').samples
    expect(samples.get('0_ada_0')!.length).toBe(2 * original.length)
  })

  test('the last tenth of each speaker and word is held out, and nothing is in two sets', () => {
    const many: Recording[] = []
    for (const speaker of ['a', 'b']) {
      for (let index = 5; index < 45; index++) {
        many.push({ id: `${speaker}${index}`, speaker, word: 'one', index, path: '' })
      }
    }
    const { kept, heldOut } = holdOutTenth([...many].reverse())
    expect(heldOut.map(({ index }) => index).sort()).toEqual([41, 41, 42, 42, 43, 43, 44, 44])
    expect(kept.length + heldOut.length).toBe(many.length)
    expect(holdOutTenth(many.slice(0, 2)).heldOut.length).toBe(1)
    expect(holdOutTenth(many.slice(0, 1)).heldOut.length).toBe(0)
    const { train, test: last } = splitByIndex(many, { train: [5, 39], test: [40, 44] })
    expect([train.length, last.length]).toEqual([70, 10])
  })
})

describe('strings of digits', () => {
  test('the same seed is the same manifest and, through JSON, the same samples', () => {
    expect(plan()).toEqual(plan())
    const again = JSON.parse(JSON.stringify(plan())) as StringManifest
    const [maker, other] = [stringMaker(plan(), sounds), stringMaker(again, sounds)]
    // In another order: no string depends on those made before it.
    const last = other.make(again.strings[9]!)
    expect(other.make(again.strings[2]!)).toEqual(maker.make(plan().strings[2]!))
    expect(last).toEqual(maker.make(plan().strings[9]!))
    expect(plan({ seed: 2 }).strings).not.toEqual(plan().strings)
    expect(plan({ set: 'test' }).strings[0]!.gaps).not.toEqual(plan().strings[0]!.gaps)
  })

  test('a string is 3 to 7 recordings of one speaker with gaps of 50 to 300 ms around each', () => {
    const { strings } = plan({ count: 300 })
    const lengths = new Set(strings.map(({ words }) => words.length))
    expect([...lengths].sort()).toEqual([3, 4, 5, 6, 7])
    expect(new Set(strings.map(({ id }) => id)).size).toBe(300)
    for (const { speaker, words, recordings, gaps } of strings) {
      expect(gaps.length).toBe(words.length + 1)
      expect(gaps.every((gap) => gap >= 400 && gap <= 2400)).toBe(true)
      recordings.forEach((id, i) => {
        expect(id).toStartWith(`${digitWords.indexOf(words[i] as 'one')}_${speaker}_`)
      })
    }
  })

  test('every recording is about equally often used', () => {
    const uses = new Map(recordings.map(({ id }) => [id, 0]))
    for (const { recordings } of plan({ count: 500 }).strings) {
      for (const id of recordings) uses.set(id, uses.get(id)! + 1)
    }
    const counts = [...uses.values()]
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(Math.min(...counts)).toBeGreaterThan(8)
  })

  test('clean strings hold the recordings at their cuts, and soft noise in the gaps', () => {
    const manifest = plan()
    const maker = stringMaker(manifest, sounds)
    let [gapEnergy, gapSamples] = [0, 0]
    for (const string of manifest.strings) {
      const { samples, cuts } = maker.make(string, { clean: true })
      let at = 0
      cuts.forEach(({ word, start, end }, i) => {
        expect(word).toBe(string.words[i]!)
        expect(start - at).toBe(string.gaps[i]!)
        const recording = sounds.samples.get(string.recordings[i]!)!
        expect([...samples.subarray(start, end)]).toEqual([...recording])
        gapEnergy += power(samples, at, start) * (start - at)
        gapSamples += start - at
        at = end
      })
      expect(samples.length - at).toBe(string.gaps.at(-1)!)
    }
    expect(Math.sqrt(gapEnergy / gapSamples)).toBeCloseTo(stringLimits.gapDeviation, 1)
  })

  test('noise has the stated ratio to the mean power inside the digits', () => {
    for (const snr of [-5, 5, 20]) {
      const manifest = plan({ snr, count: 40 })
      const maker = stringMaker(manifest, sounds)
      let mean = 0
      for (const string of manifest.strings) {
        const noisy = maker.make(string)
        const clean = maker.make(string, { clean: true })
        const noise = noisy.samples.map((value, i) => value - clean.samples[i]!)
        const decibels = 10 * Math.log10(digitPower(clean) / power(noise))
        // White and babble are scaled exactly; only their chance correlation is left.
        expect(Math.abs(decibels - snr)).toBeLessThan(0.5)
        mean += decibels / manifest.strings.length
      }
      expect(Math.abs(mean - snr)).toBeLessThan(0.05)
    }
  })

  test('babble is made of other speakers of the set, never of the string or another set', () => {
    // Every speaker but one is digitally silent: babble of `ada` alone is heard, or none at all.
    const samples = new Map(
      [...sounds.samples].map(([id, sound]) => [
        id,
        id.includes('_ada_') ? sound : new Float32Array(sound.length),
      ]),
    )
    const manifest = plan({ count: 60, snr: 0 })
    const maker = stringMaker(manifest, { ...sounds, samples })
    const strings = manifest.strings.filter(({ speaker }) => speaker === 'ada')
    const openings = new Set<string>()
    for (const string of strings) {
      const [noisy, clean] = [maker.make(string), maker.make(string, { clean: true })]
      const noise = noisy.samples.map((value, i) => value - clean.samples[i]!)
      // Only the white half is left.
      expect(power(noise) / digitPower(clean)).toBeCloseTo(0.5, 4)
      openings.add((noise[0]! / noise[1]!).toFixed(2))
    }
    // And that is drawn anew for every string.
    expect(strings.length).toBeGreaterThan(5)
    expect(openings.size).toBeGreaterThan(strings.length / 2)
    const { own } = splitByIndex(sounds.recordings, { own: [0, 2] })
    const part = planStrings(own, { set: 'a', seed: 1, count: 5, rate, snr: 0 })
    const ownSamples = new Map(own.map(({ id }) => [id, sounds.samples.get(id)!]))
    for (const string of part.strings) {
      const all = stringMaker(part, sounds).make(string)
      expect(stringMaker(part, { ...sounds, samples: ownSamples }).make(string)).toEqual(all)
    }
  })

  test('a set of one speaker can be made too, and one of none is refused', () => {
    const alone = sounds.recordings.filter(({ speaker }) => speaker === 'bo').slice(0, 2)
    const manifest = planStrings(alone, { set: 'a', seed: 1, count: 3, rate, snr: 5 })
    const { samples } = stringMaker(manifest, sounds).make(manifest.strings[0]!)
    expect(samples.every(Number.isFinite)).toBe(true)
    expect(() => planStrings([], { set: 'a', seed: 1, count: 3, rate, snr: 5 })).toThrow(
      CorpusError,
    )
  })

  test('recordings that are missing, or of another rate, are refused by name', () => {
    const manifest = plan()
    const string = manifest.strings[0]!
    const samples = new Map(sounds.samples)
    samples.delete(string.recordings[0]!)
    const maker = stringMaker(manifest, { ...sounds, samples })
    expect(() => maker.make(string)).toThrow(string.recordings[0]!)
    expect(() => stringMaker(manifest, { ...sounds, rate: 16_000 })).toThrow('16000 Hz')
  })

  test('as a corpus, strings load one by one; those that cannot be made are skipped', async () => {
    const manifest = plan({ count: 5 })
    const samples = new Map(sounds.samples)
    samples.delete(manifest.strings[3]!.recordings[1]!)
    const corpus = stringCorpus(manifest, { ...sounds, samples })
    const lost: Skipped[] = []
    const loaded: string[] = []
    for await (const { utterance, samples } of loadUtterances(corpus.utterances, {
      rate: 16_000,
      skip: (skipped) => lost.push(skipped),
    })) {
      loaded.push(utterance.id)
      expect(samples.length).toBeGreaterThan(16_000 * 0.2)
    }
    expect(loaded).toEqual(['train-0', 'train-1', 'train-2', 'train-4'])
    expect(lost.map(({ name }) => name)).toEqual(['train-3'])
  })
})

test.skipIf(!hasSharedRecordings)('the shared recordings make the sets of the protocol', () => {
  const { recordings, skipped } = openRecordings(sharedRecordings, realFiles)
  expect([recordings.length, skipped.length]).toEqual([2700, 0])
  const { train, development, held } = splitByIndex(recordings, {
    train: [5, 39],
    development: [40, 44],
    held: [45, 49],
  })
  expect([train.length, development.length, held.length]).toEqual([2100, 300, 300])
  const loaded = loadRecordings(development, { files: realFiles, rate })
  expect(loaded.skipped).toEqual([])
  const manifest = planStrings(development, { set: 'dev', seed: 1, count: 60, rate, snr: 5 })
  const maker = stringMaker(manifest, loaded)
  const made = manifest.strings.map((string) => maker.make(string))
  const seconds = made.reduce((sum, { samples }) => sum + samples.length / rate, 0) / 60
  expect(seconds).toBeGreaterThan(2.7)
  expect(seconds).toBeLessThan(3.7)
})

function digitPower({ samples, cuts }: DigitString): number {
  const energy = cuts.reduce((sum, { start, end }) => {
    return sum + power(samples, start, end) * (end - start)
  }, 0)
  return energy / cuts.reduce((sum, { start, end }) => sum + end - start, 0)
}
