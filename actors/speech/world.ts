// What the parts of a speech run share besides what all runs do.
import type { RunWorld, UnderWay } from '../run/world.ts'
import type { Evaluator } from './evaluator.ts'
import type { SpeechLooker } from './insight.ts'
import type { CompleteOptions } from './options.ts'
import type { PreparedCorpus } from './prepare.ts'
import type { SpeechRecord } from './run-record.ts'
import type { SpeechTask } from './task.ts'

export type SpeechWorld = RunWorld<CompleteOptions>

export interface SpeechUnderWay extends UnderWay<SpeechRecord> {
  readonly task: SpeechTask
  readonly corpus: PreparedCorpus
  readonly evaluator: Evaluator
  readonly looker: SpeechLooker
}
