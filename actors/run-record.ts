// What a run remembers in its folder, so that `--resume` goes on where it ended: the plan's place, the
// models kept so far, and what development strings said of them. The shards remember the rest.
import type { Disk } from '../runtime/environment.ts'
import { type CompleteOptions, OptionError, type SpeechOptions } from './speech-options.ts'

export interface RunRecord {
  readonly options: CompleteOptions
  /** Seconds of all earlier lives of this run. */
  readonly seconds: number
  /** Names of the finished parts of the plan. */
  readonly finished: readonly string[]
  /** Models kept: parameters lie in `models/NAME.f32`. */
  readonly candidates: readonly Candidate[]
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
}

export interface Candidate {
  readonly name: string
  /** Which model it may become in the report. */
  readonly model: 'crossEntropy' | 'control' | 'sequence'
  /** Whose priors its scores are divided by. */
  readonly alignments: string
  readonly development: { readonly percent: number; readonly scale: number; readonly bonus: number }
}

const NAME = 'run.json'

export function saveRecord(disk: Disk, folder: string, record: RunRecord): void {
  const json = `${JSON.stringify(record, null, 2)}\n`
  disk.write(`${folder}/${NAME}`, new TextEncoder().encode(json))
}

export function loadRecord(disk: Disk, folder: string): RunRecord | undefined {
  const path = `${folder}/${NAME}`
  if (!disk.exists(path)) return undefined
  return JSON.parse(new TextDecoder().decode(disk.read(path))) as RunRecord
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
