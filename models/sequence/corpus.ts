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
  { rate, skip }: { readonly rate: number; readonly skip: (skipped: Skipped) => void },
): AsyncGenerator<{ readonly utterance: Utterance; readonly samples: Float32Array }> {
  for (const utterance of utterances) {
    const audio = await utterance.load().catch((error: unknown) => reasonOf(error))
    if (typeof audio === 'string') skip({ name: utterance.id, reason: audio })
    else yield { utterance, samples: resample(audio.samples, audio.rate, rate) }
  }
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
