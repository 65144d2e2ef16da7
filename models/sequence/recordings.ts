// Recordings of single digits in one folder, named `{digit}_{speaker}_{index}.wav` (the layout of
// the Free Spoken Digit Dataset), and how they are divided into sets.
import { decodeWav } from './audio.ts'
import {
  CorpusError,
  type CorpusFiles,
  countSound,
  listNames,
  readBytes,
  reasonOf,
  type Skipped,
  type SoundCounts,
} from './corpus.ts'
import { resample } from './resample.ts'

export interface Recording {
  /** `{digit}_{speaker}_{index}` */
  readonly id: string
  readonly speaker: string
  readonly word: string
  readonly index: number
  readonly path: string
}

export const digitWords = [
  'zero',
  'one',
  'two',
  'three',
  'four',
  'five',
  'six',
  'seven',
  'eight',
  'nine',
] as const

/** The parts of a file name, or undefined where it is not of this form. */
export function parseRecordingName(name: string): Omit<Recording, 'path'> | undefined {
  const parts = /^((\d)_(.+)_(\d{1,9}))\.wav$/i.exec(name)
  if (!parts) return undefined
  const [, id = '', digit = '', speaker = '', index = ''] = parts
  return { id, speaker, word: digitWords[Number(digit)]!, index: Number(index) }
}

export interface RecordingFolder {
  /** By speaker, word and index, whatever the order of the listing. */
  readonly recordings: readonly Recording[]
  readonly skipped: readonly Skipped[]
}

export function openRecordings(folder: string, files: CorpusFiles): RecordingFolder {
  const recordings: Recording[] = []
  const skipped: Skipped[] = []
  for (const name of listNames(files, folder)) {
    if (!/\.wav$/i.test(name)) continue
    const parts = parseRecordingName(name)
    if (parts) recordings.push({ ...parts, path: `${folder}/${name}` })
    else skipped.push({ name, reason: 'not named {digit}_{speaker}_{index}.wav' })
  }
  if (recordings.length === 0) {
    const remedy = 'name the folder of the recordings'
    throw new CorpusError(`${folder}: no {digit}_{speaker}_{index}.wav in it; ${remedy}`)
  }
  return { recordings: recordings.sort(byId), skipped: skipped.sort(byName) }
}

/**
 * Samples by recording id, all at one rate; in memory, for joining them takes each of them often.
 */
export interface RecordingSounds {
  readonly rate: number
  /** Those that could be loaded: strings are planned from these. */
  readonly recordings: readonly Recording[]
  readonly samples: ReadonlyMap<string, Float32Array>
  readonly counts: SoundCounts
  readonly skipped: readonly Skipped[]
}

export function loadRecordings(
  recordings: readonly Recording[],
  { files, rate }: { readonly files: CorpusFiles; readonly rate: number },
): RecordingSounds {
  const samples = new Map<string, Float32Array>()
  const skipped: Skipped[] = []
  const counts: SoundCounts = {}
  for (const { id, path } of recordings) {
    try {
      const audio = decodeWav(readBytes(files, path), path)
      countSound(counts, audio)
      samples.set(id, resample(audio.samples, audio.rate, rate))
    } catch (error) {
      skipped.push({ name: id, reason: reasonOf(error) })
    }
  }
  const loaded = recordings.filter(({ id }) => samples.has(id))
  return { rate, recordings: loaded, samples, counts, skipped }
}

/** First and last index, both inclusive. */
export type IndexRange = readonly [number, number]

/** One list of recordings per named range, e.g. `{ train: [5, 39], development: [40, 44] }`. */
export function splitByIndex<Name extends string>(
  recordings: readonly Recording[],
  ranges: Readonly<Record<Name, IndexRange>>,
): Record<Name, Recording[]> {
  const lists = Object.entries<IndexRange>(ranges).map(([name, [first, last]]) => {
    return [name, recordings.filter(({ index }) => index >= first && index <= last)]
  })
  return Object.fromEntries(lists)
}

/**
 * Holds out the last tenth of the recordings of each speaker and word, at least one where there are
 * two: a set of the same speakers whose recordings were not trained on.
 */
export function holdOutTenth(recordings: readonly Recording[]): {
  readonly kept: Recording[]
  readonly heldOut: Recording[]
} {
  const groups = Map.groupBy(recordings, ({ speaker, word }) => `${word} ${speaker}`)
  const held = new Set<string>()
  for (const group of groups.values()) {
    const count = group.length < 2 ? 0 : Math.max(1, Math.round(group.length / 10))
    const latest = [...group].sort((a, b) => b.index - a.index).slice(0, count)
    for (const { id } of latest) held.add(id)
  }
  return {
    kept: recordings.filter(({ id }) => !held.has(id)),
    heldOut: recordings.filter(({ id }) => held.has(id)),
  }
}

function byId(a: Recording, b: Recording): number {
  return (
    compare(a.speaker, b.speaker) ||
    digitWords.indexOf(a.word as (typeof digitWords)[number]) -
      digitWords.indexOf(b.word as (typeof digitWords)[number]) ||
    a.index - b.index ||
    compare(a.id, b.id)
  )
}

function byName(a: Skipped, b: Skipped): number {
  return compare(a.name, b.name)
}

/** By code units: the same on every machine, unlike a locale's order. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
