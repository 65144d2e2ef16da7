// From `--data` to the three sets of a run: strings made of recordings, or a Kaldi directory as it is.
import {
  addCounts,
  type Corpus,
  CorpusError,
  type CorpusFiles,
  type Skipped,
  type SoundCounts,
} from '../../models/sequence/corpus.ts'
import { planStrings, stringCorpus } from '../../models/sequence/digit-strings.ts'
import { isKaldiDirectory, openKaldiDirectory } from '../../models/sequence/kaldi-directory.ts'
import {
  holdOutTenth,
  loadRecordings,
  openRecordings,
  type Recording,
} from '../../models/sequence/recordings.ts'
import type { Disk } from '../../runtime/environment.ts'
import { lexicon } from './graph.ts'
import type { SetName } from './task.ts'

/** Everything is brought to this rate: the digits' own. */
export const SAMPLE_RATE = 8_000

export interface CorporaOptions {
  readonly data: string
  readonly test?: string
  readonly seed: number
  readonly snr: number
  readonly strings: readonly [number, number, number]
}

export interface SpeechCorpora {
  readonly sets: { readonly [Name in SetName]: Corpus }
  /** The training set without added noise, for the flat start; same utterances. */
  readonly cleanTraining: Corpus
  readonly skipped: readonly Skipped[]
  /** Of recordings that are in memory already. */
  readonly counts: SoundCounts
}

export function openCorpora(options: CorporaOptions, disk: Disk): SpeechCorpora {
  const files: CorpusFiles = { readFile: disk.read, listFiles: disk.list }
  const isKaldi = isKaldiDirectory(options.data, files)
  if (options.test !== undefined && isKaldiDirectory(options.test, files) !== isKaldi) {
    const form = isKaldi ? 'a Kaldi data directory' : 'a folder of recordings'
    throw new CorpusError(`test: ${options.test} is not ${form}, as ${options.data} is`)
  }
  return isKaldi ? openDirectories(options, files) : openStrings(options, files)
}

function openStrings(options: CorporaOptions, files: CorpusFiles): SpeechCorpora {
  const { seed, snr, test } = options
  const folder = openRecordings(options.data, files)
  const held = holdOutTenth(folder.recordings)
  const testFolder = test === undefined ? undefined : openRecordings(test, files)
  // With a test set of its own, the held-out tenth is the development set.
  const forDevelopment = testFolder ? held : holdOutTenth(held.kept)
  const recordings: { readonly [Name in SetName]: readonly Recording[] } = {
    train: forDevelopment.kept,
    development: forDevelopment.heldOut,
    test: testFolder?.recordings ?? held.heldOut,
  }
  const names = ['train', 'development', 'test'] as const
  const made = names.map((set, index) => {
    const sounds = loadRecordings(recordings[set], { files, rate: SAMPLE_RATE })
    const usable = recordings[set].filter(({ id }) => sounds.samples.has(id))
    if (usable.length === 0) throw new CorpusError(emptySet(set, options, sounds.skipped))
    const count = options.strings[index] ?? 0
    const manifest = planStrings(usable, { set, seed, count, rate: SAMPLE_RATE, snr })
    return { sounds, manifest }
  })
  const [train, development, testSet] = made.map(({ manifest, sounds }) =>
    stringCorpus(manifest, sounds),
  )
  const [first] = made
  if (!train || !development || !testSet || !first) throw new CorpusError('three sets are made')
  return {
    sets: { train, development, test: testSet },
    cleanTraining: stringCorpus(first.manifest, first.sounds, { clean: true }),
    skipped: [
      ...folder.skipped,
      ...(testFolder?.skipped ?? []),
      ...made.flatMap(({ sounds }) => sounds.skipped),
    ],
    counts: addCounts(made.map(({ sounds }) => sounds.counts)),
  }
}

function emptySet(
  set: SetName,
  { data, test }: CorporaOptions,
  skipped: readonly Skipped[],
): string {
  const [first] = skipped
  const folder = set === 'test' ? (test ?? data) : data
  if (first)
    return `${folder}: no usable recording (${skipped.length} skipped, first ${first.reason})`
  return `${folder}: none is left for the ${set} set; give three takes of each digit, or more`
}

function openDirectories({ data, test }: CorporaOptions, files: CorpusFiles): SpeechCorpora {
  const corpus = pronounceable(openKaldiDirectory(data, files))
  const testCorpus = test === undefined ? undefined : pronounceable(openKaldiDirectory(test, files))
  const { utterances } = corpus
  const tenth = Math.max(1, Math.floor(utterances.length / 10))
  const testCount = testCorpus ? 0 : tenth
  const cut = utterances.length - testCount - tenth
  if (cut < 1) {
    const [first] = corpus.skipped
    const why = first
      ? `; skipped ${corpus.skipped.length}, first ${first.name}: ${first.reason}`
      : ''
    throw new CorpusError(`${data}: ${utterances.length} usable utterances are too few${why}`)
  }
  const part = (from: number, to: number): Corpus => ({
    utterances: utterances.slice(from, to),
    skipped: [],
  })
  const train = part(0, cut)
  return {
    sets: {
      train,
      development: part(cut, cut + tenth),
      test: testCorpus ?? part(cut + tenth, utterances.length),
    },
    cleanTraining: train,
    skipped: [...corpus.skipped, ...(testCorpus?.skipped ?? [])],
    counts: {},
  }
}

/** Without the utterances whose words the lexicon does not have. */
function pronounceable({ utterances, skipped }: Corpus): Corpus {
  const unknown: Skipped[] = []
  const kept = utterances.filter(({ id, words }) => {
    const missing = words.find((word) => !lexicon.has(word))
    if (missing === undefined && words.length > 0) return true
    const reason =
      missing === undefined ? 'transcript is empty' : `no pronunciation of '${missing}'`
    unknown.push({ name: id, reason })
    return false
  })
  return { utterances: kept, skipped: [...skipped, ...unknown] }
}
