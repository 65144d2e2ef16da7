// What a corpus is: utterances with their words, and sound that is loaded when it is needed. Where
// files come from is an argument. Sources: recordings.ts, digit-strings.ts, kaldi-directory.ts.
import { type Audio, AudioError } from './audio.ts'
import { resample } from './resample.ts'

export interface Utterance {
  readonly id: string
  readonly speaker: string
  readonly words: readonly string[]
  /** Decodes or makes the sound anew at each call: a corpus need not fit into memory. */
  readonly load: () => Promise<Audio>
}

export interface Corpus {
  readonly utterances: readonly Utterance[]
  readonly skipped: readonly Skipped[]
}

/** Something of a corpus that cannot be used; the run goes on without it. */
export interface Skipped {
  readonly name: string
  readonly reason: string
}

/** Both throw an `Error` with a message of one line where there is no such file or folder. */
export interface CorpusFiles {
  readonly readFile: (path: string) => Uint8Array
  /** Names, not paths. */
  readonly listFiles: (folder: string) => readonly string[]
}

/** A corpus cannot be used at all; what cannot be used of it alone is `Skipped`. */
export class CorpusError extends Error {
  override readonly name = 'CorpusError'
}

/**
 * Loads the sound of one utterance after the other, at one rate; what cannot be decoded is skipped.
 */
export async function* loadUtterances(
  utterances: Iterable<Utterance>,
  {
    rate,
    skip,
    counts = {},
  }: {
    readonly rate: number
    readonly skip: (skipped: Skipped) => void
    /** Counted up, for `describeSounds`. */
    readonly counts?: SoundCounts
  },
): AsyncGenerator<{ readonly utterance: Utterance; readonly samples: Float32Array }> {
  for (const utterance of utterances) {
    const audio = await utterance.load().catch((error: unknown) => reasonOf(error))
    if (typeof audio === 'string') skip({ name: utterance.id, reason: audio })
    else {
      countSound(counts, audio)
      yield { utterance, samples: resample(audio.samples, audio.rate, rate) }
    }
  }
}

/** How many sounds there were of each sampling rate and number of channels, as `rate/channels`. */
export type SoundCounts = Record<string, number>

export function countSound(counts: SoundCounts, { rate, channels = 1 }: Audio): void {
  const key = `${rate}/${channels}`
  counts[key] = (counts[key] ?? 0) + 1
}

export function addCounts(all: readonly SoundCounts[]): SoundCounts {
  const sum: SoundCounts = {}
  for (const counts of all) {
    for (const [key, count] of Object.entries(counts)) sum[key] = (sum[key] ?? 0) + count
  }
  return sum
}

/** What was done to sounds that were not as they are needed, a sentence each. */
export function describeSounds(counts: SoundCounts, rate: number): string[] {
  return Object.entries(counts).flatMap(([key, count]) => {
    const [from = 0, channels = 1] = key.split('/').map(Number)
    const sounds = `${count} ${count === 1 ? 'recording' : 'recordings'} of ${from} Hz`
    return [
      ...(from === rate ? [] : [`${sounds}: resampled to ${rate} Hz`]),
      ...(channels === 1 ? [] : [`${sounds}: the first of ${channels} channels is used`]),
    ]
  })
}

/** The reason an unusable recording is skipped for; any other error is not ours to swallow. */
export function reasonOf(error: unknown): string {
  if (error instanceof AudioError || error instanceof CorpusError) return error.message
  throw error
}

/** Reads a file; that it cannot be read becomes a `CorpusError`, whatever the disk throws. */
export function readBytes(files: CorpusFiles, path: string): Uint8Array {
  try {
    return files.readFile(path)
  } catch (cause) {
    throw new CorpusError(messageOf(cause), { cause })
  }
}

export function listNames(files: CorpusFiles, folder: string): readonly string[] {
  try {
    return files.listFiles(folder)
  } catch (cause) {
    throw new CorpusError(messageOf(cause), { cause })
  }
}

function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
