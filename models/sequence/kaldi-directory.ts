// Kaldi data directories: wav.scp, text, and where they exist utt2spk and segments. Each line is
// `<key> <value>`. What does not fit together is skipped by name, for such folders are often made
// by hand.
import { type Audio, AudioError } from './audio.ts'
import {
  type Corpus,
  CorpusError,
  type CorpusFiles,
  listNames,
  readBytes,
  type Skipped,
  type Utterance,
} from './corpus.ts'
import { decodeAudio } from './flac.ts'

/** Without `text` (where that is allowed) every transcript is empty. */
export function openKaldiDirectory(
  folder: string,
  files: CorpusFiles,
  { needsText = true }: { readonly needsText?: boolean } = {},
): Corpus {
  const skipped: Skipped[] = []
  const skip = (name: string, reason: string): void => {
    skipped.push({ name, reason })
  }
  const present = new Set(listNames(files, folder))
  const table = (name: string): Map<string, string> =>
    readTable(files, `${folder}/${name}`, { name, skip })
  const optional = (name: string): Map<string, string> | undefined =>
    present.has(name) ? table(name) : undefined
  const paths = findSounds(table('wav.scp'), { folder, files, skip })
  const texts = needsText || present.has('text') ? table('text') : undefined
  const speakers = optional('utt2spk')
  const pieces = readSegments(optional('segments'), paths.keys(), skip)
  const load = soundLoader(files)

  const utterances: Utterance[] = []
  for (const [id, piece] of pieces) {
    const path = paths.get(piece.recording)
    const text = texts ? texts.get(id) : ''
    // Without utt2spk every utterance is its own speaker, as in Kaldi's own fallback.
    const speaker = speakers ? speakers.get(id) : id
    if (path === undefined)
      skip(id, `its recording ${piece.recording} is not in wav.scp or unusable`)
    else if (text === undefined) skip(id, 'no transcript in text')
    else if (!speaker) skip(id, 'no speaker in utt2spk')
    else {
      const words = text.split(/\s+/).filter((word) => word !== '')
      utterances.push({ id, speaker, words, load: async () => cut(await load(path), piece, id) })
    }
  }
  const known = new Set([...pieces.keys(), ...skipped.map(({ name }) => name)])
  for (const id of texts?.keys() ?? []) if (!known.has(id)) skip(id, 'a transcript without audio')
  if (utterances.length === 0) {
    const first = skipped[0]
    const why = first ? `, first ${first.name}: ${first.reason}` : ''
    throw new CorpusError(`${folder}: no usable utterance (${skipped.length} skipped${why})`)
  }
  return { utterances, skipped }
}

export function isKaldiDirectory(folder: string, files: CorpusFiles): boolean {
  return listNames(files, folder).includes('wav.scp')
}

type Skip = (name: string, reason: string) => void

function readTable(
  files: CorpusFiles,
  path: string,
  { name, skip }: { readonly name: string; readonly skip: Skip },
): Map<string, string> {
  const table = new Map<string, string>()
  const lines = new TextDecoder().decode(readBytes(files, path)).split('\n')
  lines.forEach((line, index) => {
    const [key = '', ...rest] = line.trim().split(/\s+/)
    if (key === '') return
    // A transcript may be empty; nothing else may.
    if (rest.length === 0 && name !== 'text') skip(`${name}:${index + 1}`, `nothing after ${key}`)
    else if (table.has(key)) skip(`${name}:${index + 1}`, `${key} a second time`)
    else table.set(key, line.trim().slice(key.length).trim())
  })
  return table
}

/** Keeps recordings whose file exists: as the path says, or relative to the data folder. */
function findSounds(
  table: ReadonlyMap<string, string>,
  { folder, files, skip }: { readonly folder: string; readonly files: CorpusFiles; skip: Skip },
): Map<string, string> {
  const listings = new Map<string, ReadonlySet<string>>()
  const exists = (path: string): boolean => {
    const slash = path.lastIndexOf('/')
    const parent = slash < 0 ? '.' : path.slice(0, slash) || '/'
    const listing = listings.get(parent) ?? listed(files, parent)
    listings.set(parent, listing)
    return listing.has(path.slice(slash + 1))
  }
  const found = new Map<string, string>()
  for (const [id, value] of table) {
    if (value.endsWith('|') || value.startsWith('|')) {
      skip(id, 'wav.scp names a command, and commands are not run: write its output to a file')
      continue
    }
    const candidates = value.startsWith('/') ? [value] : [value, `${folder}/${value}`]
    const path = candidates.find(exists)
    if (path === undefined) skip(id, `no audio file ${value}`)
    else found.set(id, path)
  }
  return found
}

/**
 * A folder that cannot be listed holds no file: each recording in it is skipped by its own name.
 */
function listed(files: CorpusFiles, folder: string): ReadonlySet<string> {
  try {
    return new Set(listNames(files, folder))
  } catch (error) {
    if (error instanceof CorpusError) return new Set()
    throw error
  }
}

interface Piece {
  readonly recording: string
  readonly startSeconds: number
  /** -1: to the end of the recording. */
  readonly endSeconds: number
}

function readSegments(
  segments: ReadonlyMap<string, string> | undefined,
  recordings: Iterable<string>,
  skip: Skip,
): Map<string, Piece> {
  const pieces = new Map<string, Piece>()
  if (!segments) {
    for (const id of recordings) pieces.set(id, { recording: id, startSeconds: 0, endSeconds: -1 })
    return pieces
  }
  for (const [id, value] of segments) {
    const [recording = '', start = '', end = ''] = value.split(/\s+/)
    const [startSeconds, endSeconds] = [Number(start), Number(end)]
    const isWhole = start !== '' && end !== '' && startSeconds >= 0
    if (isWhole && (endSeconds > startSeconds || endSeconds === -1)) {
      pieces.set(id, { recording, startSeconds, endSeconds })
    } else skip(id, `segments has '${value}', not <recording> <start> <end> in seconds`)
  }
  return pieces
}

/** A recording may end this much before a segment of it does, as in Kaldi's extract-segments. */
const OVERSHOOT_SECONDS_MAX = 0.5

function cut({ samples, ...rest }: Audio, piece: Piece, id: string): Audio {
  const { startSeconds, endSeconds } = piece
  const { rate } = rest
  const start = Math.round(startSeconds * rate)
  const end = endSeconds === -1 ? samples.length : Math.round(endSeconds * rate)
  if (start >= samples.length || end > samples.length + OVERSHOOT_SECONDS_MAX * rate) {
    const seconds = (samples.length / rate).toFixed(2)
    const limits = `${startSeconds} to ${endSeconds} s of a recording of ${seconds} s`
    throw new AudioError('truncated', `${id}: segment ${limits}; correct it or the recording`)
  }
  return { ...rest, samples: samples.subarray(start, end) }
}

/** Keeps the last recording: its segments usually follow each other. */
function soundLoader(files: CorpusFiles): (path: string) => Promise<Audio> {
  let last: { readonly path: string; readonly audio: Promise<Audio> } | undefined
  const decode = async (path: string): Promise<Audio> => decodeAudio(readBytes(files, path), path)
  return (path) => {
    if (last?.path !== path) last = { path, audio: decode(path) }
    return last.audio
  }
}
