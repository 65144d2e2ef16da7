// What a run remembers in its folder, so that `--resume` goes on where it ended: the plan's place, the
// models kept so far, and what development strings said of them. The shards remember the rest.
import type { Disk } from '../../runtime/environment.ts'
import type { Restart } from '../report.ts'
import { type CompleteOptions, OptionError, type SpeechOptions } from './options.ts'
import { alignmentFiles } from './plan.ts'

export interface RunRecord {
  readonly options: CompleteOptions
  /** False while it prepares: nothing is lost where the same command begins anew. */
  readonly isTraining: boolean
  /** Which life of the run this is, from 0: each resume is another. */
  readonly life: number
  /** Seconds of all lives of this run. */
  readonly seconds: number
  readonly restarts: readonly Restart[]
  readonly tally: Tally
  /** Steps of the finished parts that their trainers reported, taken by every shard. */
  readonly acknowledgedSteps: number
  /** Names of the finished parts of the plan. */
  readonly finished: readonly string[]
  /** Models kept: parameters lie in `models/NAME.f32`. */
  readonly candidates: readonly Candidate[]
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

/** Sums over all training parts. */
export interface Tally {
  readonly frames: number
  readonly seconds: number
  readonly computeMs: number
  readonly trainerMs: number
  readonly rejected: number
  readonly nonFinite: number
}

export interface Candidate {
  readonly name: string
  /** Which model it may become in the report. */
  readonly model: 'crossEntropy' | 'control' | 'sequence'
  /** Whose priors its scores are divided by. */
  readonly alignments: string
  readonly development: { readonly percent: number; readonly scale: number; readonly bonus: number }
}

/** There is a run where none may be, or none where one must be. */
export class RunRecordError extends Error {
  override readonly name = 'RunRecordError'
}

const NAME = 'run.json'

export function saveRecord(disk: Disk, folder: string, record: RunRecord): void {
  const json = `${JSON.stringify(record, null, 2)}\n`
  disk.write(`${folder}/${NAME}`, new TextEncoder().encode(json))
}

export function loadRecord(disk: Disk, folder: string): RunRecord | undefined {
  const path = `${folder}/${NAME}`
  if (!disk.exists(path)) return undefined
  try {
    return JSON.parse(new TextDecoder().decode(disk.read(path))) as RunRecord
  } catch (cause) {
    if (!(cause instanceof SyntaxError)) throw cause
    throw new RunRecordError(`${path}: damaged: the run cannot go on, give another --out`, {
      cause,
    })
  }
}

export function modelPath(out: string, name: string): string {
  return `${out}/models/${name}.f32`
}

/** The options of an earlier run, as they were given. */
export function resumedOptions(disk: Disk, folder: string): SpeechOptions {
  const record = loadRecord(disk, folder)
  if (!record) throw new OptionError(`resume: ${folder} holds no run; name the folder of --out`)
  const { chaos: _done, ...options } = record.options
  return options
}

/** The record of a run that begins, or of the next life of one that is resumed. */
export function openRecord(disk: Disk, options: CompleteOptions): RunRecord {
  const { out } = options
  const known = loadRecord(disk, out)
  if (known?.isTraining && !options.resume) {
    throw new RunRecordError(`${out} holds a run: give --resume ${out} or another --out`)
  }
  if (options.resume) {
    if (!known) throw new RunRecordError(`${out} holds no run to resume`)
    refuseOtherOptions(known.options, options)
    return { ...known, options, life: known.life + 1 }
  }
  for (const folder of ['shards', 'corpus'].map((name) => `${out}/${name}`)) {
    // What is left of a run that never trained may come from other options; what is not of a run is not ours.
    if (known) disk.remove(folder)
    else if (disk.exists(folder)) {
      throw new RunRecordError(`${folder} is there already, and of no run: give another --out`)
    }
  }
  const empty = {
    options,
    isTraining: false,
    life: 0,
    seconds: 0,
    restarts: [],
    tally: { frames: 0, seconds: 0, computeMs: 0, trainerMs: 0, rejected: 0, nonFinite: 0 },
    acknowledgedSteps: 0,
    finished: [],
    candidates: [],
    skipped: [],
  }
  return options.from === undefined ? empty : borrowRecord(disk, options.from, empty)
}

/** Options that a resumed run may have otherwise; all others are in what it has learnt so far. */
const free: readonly string[] = [
  'chaos',
  'report',
  'port',
  'resume',
  'out',
  'data',
  'test',
  'from',
  'stepSeconds',
  'device',
  'devicePolicy',
  'deno',
]

function refuseOtherOptions(before: CompleteOptions, now: CompleteOptions): void {
  for (const [name, value] of Object.entries(now)) {
    const was = before[name as keyof CompleteOptions]
    if (free.includes(name) || JSON.stringify(was) === JSON.stringify(value)) continue
    throw new OptionError(`${name}: ${value}; the run to resume has ${was}, and keeps it`)
  }
}

/** What a new run takes over from another: all that came before sequence training. */
function borrowRecord(disk: Disk, from: string, empty: RunRecord): RunRecord {
  const lender = loadRecord(disk, from)
  if (!lender) throw new RunRecordError(`${from} holds no run to start from`)
  const isTrained = disk.exists(`${from}/corpus/${alignmentFiles.crossEntropy}`)
  const candidates = lender.candidates.filter(({ model }) => model !== 'sequence')
  if (!isTrained || !candidates.some(({ model }) => model === 'crossEntropy')) {
    throw new RunRecordError(`${from} has no cross-entropy model yet: --resume it first`)
  }
  const [its, ours] = [lender.options.hidden, empty.options.hidden]
  if (its.join() !== ours.join()) {
    throw new OptionError(`hidden: ${ours}; the model of ${from} has ${its}`)
  }
  for (const { name } of candidates) {
    disk.write(modelPath(empty.options.out, name), disk.read(modelPath(from, name)))
  }
  const finished = lender.finished.filter((part) => part !== 'sequence')
  return { ...empty, candidates, finished, skipped: lender.skipped }
}
