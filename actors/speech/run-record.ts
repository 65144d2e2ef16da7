// What a speech run remembers besides: the models kept so far, and what development strings said of them.
import type { Disk } from '../../runtime/environment.ts'
import { OptionError } from '../run/options.ts'
import {
  emptyRecord,
  loadRecord,
  modelPath,
  openRecord as openRunRecord,
  type RunRecord,
  RunRecordError,
} from '../run/record.ts'
import type { CompleteOptions } from './options.ts'
import { alignmentFiles } from './plan.ts'

export interface SpeechRecord extends RunRecord<CompleteOptions> {
  /** Models kept: parameters lie in `models/NAME.f32`. */
  readonly candidates: readonly Candidate[]
}

export interface Candidate {
  readonly name: string
  /** Which model it may become in the report. */
  readonly model: 'crossEntropy' | 'control' | 'sequence'
  /** Whose priors its scores are divided by. */
  readonly alignments: string
  readonly development: { readonly percent: number; readonly scale: number; readonly bonus: number }
}

/** The record of a run that begins, or of the next life of one that is resumed. */
export function openRecord(disk: Disk, options: CompleteOptions): SpeechRecord {
  const begun = { ...emptyRecord(options), candidates: [] }
  const opened = openRunRecord<SpeechRecord>(disk, begun, { folders: ['corpus'], free: ['from'] })
  const isNew = opened === begun
  return isNew && options.from !== undefined ? borrowRecord(disk, options.from, opened) : opened
}

/** What a new run takes over from another: all that came before sequence training. */
function borrowRecord(disk: Disk, from: string, empty: SpeechRecord): SpeechRecord {
  const lender = loadRecord<SpeechRecord>(disk, from)
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
