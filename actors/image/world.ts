// What the parts of an image run share besides what all runs do.
import type { RunRecord } from '../run/record.ts'
import type { RunWorld } from '../run/world.ts'
import type { CompleteImageOptions } from './options.ts'

export type ImageWorld = RunWorld<CompleteImageOptions>
export type ImageRecord = RunRecord<CompleteImageOptions>
