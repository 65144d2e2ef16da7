// What a run remembers in its folder, so that `--resume` goes on where it ended: the plan's place and the
// models kept so far. The shards remember the rest.
import type { Disk } from '../../runtime/environment.ts'
import type { Restart } from '../report.ts'
import { OptionError, type RunOptions } from './options.ts'

export interface RunRecord<Options extends RunOptions = RunOptions> {
  readonly options: Options
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
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

/** Sums over all training parts. */
export interface Tally {
  /** Frames of speech, or images. */
  readonly examples: number
  readonly seconds: number
  readonly computeMs: number
  readonly trainerMs: number
  readonly rejected: number
  readonly nonFinite: number
}

/** There is a run where none may be, or none where one must be. */
export class RunRecordError extends Error {
  override readonly name = 'RunRecordError'
}

const NAME = 'run.json'

export function emptyRecord<Options extends RunOptions>(options: Options): RunRecord<Options> {
  return {
    options,
    isTraining: false,
    life: 0,
    seconds: 0,
    restarts: [],
    tally: { examples: 0, seconds: 0, computeMs: 0, trainerMs: 0, rejected: 0, nonFinite: 0 },
    acknowledgedSteps: 0,
    finished: [],
    skipped: [],
  }
}

export function saveRecord(disk: Disk, folder: string, record: RunRecord): void {
  const json = `${JSON.stringify(record, null, 2)}\n`
  disk.write(`${folder}/${NAME}`, new TextEncoder().encode(json))
}

export function loadRecord<Kept extends RunRecord>(disk: Disk, folder: string): Kept | undefined {
  const path = `${folder}/${NAME}`
  if (!disk.exists(path)) return undefined
  try {
    return JSON.parse(new TextDecoder().decode(disk.read(path))) as Kept
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
export function resumedOptions<Options extends RunOptions>(
  disk: Disk,
  folder: string,
): Omit<Options, 'chaos'> {
  const record = loadRecord<RunRecord<Options>>(disk, folder)
  if (!record) throw new OptionError(`resume: ${folder} holds no run; name the folder of --out`)
  const { chaos: _done, ...options } = record.options
  return options
}

/** The record of a run that begins, or of the next life of one that is resumed. */
export function openRecord<Kept extends RunRecord>(
  disk: Disk,
  begun: Kept,
  {
    folders,
    free,
  }: {
    /** Of the run: what else has them is not ours. */
    readonly folders: readonly string[]
    /** Options that a resumed run may have otherwise, besides those that all runs may. */
    readonly free: readonly string[]
  },
): Kept {
  const { options } = begun
  const { out } = options
  const known = loadRecord<Kept>(disk, out)
  if (known?.isTraining && !options.resume) {
    throw new RunRecordError(`${out} holds a run: give --resume ${out} or another --out`)
  }
  if (options.resume) {
    if (!known) throw new RunRecordError(`${out} holds no run to resume`)
    refuseOtherOptions(known.options, options, [...freeForAll, ...free])
    return { ...known, options, life: known.life + 1 }
  }
  for (const folder of ['shards', ...folders].map((name) => `${out}/${name}`)) {
    // What is left of a run that never trained may come from other options; what is not of a run is not ours.
    if (known) disk.remove(folder)
    else if (disk.exists(folder)) {
      throw new RunRecordError(`${folder} is there already, and of no run: give another --out`)
    }
  }
  return begun
}

/** All other options are in what a run has learnt so far. */
const freeForAll: readonly string[] = [
  'chaos',
  'report',
  'port',
  'resume',
  'out',
  'data',
  'test',
  'stepSeconds',
  'device',
  'devicePolicy',
  'deno',
]

function refuseOtherOptions(before: RunOptions, now: RunOptions, free: readonly string[]): void {
  for (const [name, value] of Object.entries(now)) {
    const was = before[name as keyof RunOptions]
    if (free.includes(name) || JSON.stringify(was) === JSON.stringify(value)) continue
    throw new OptionError(`${name}: ${value}; the run to resume has ${was}, and keeps it`)
  }
}
