// What a run tells the outside: progress, deaths, recoveries, results. The command line, the HTTP
// control plane and scripts read this one stream.
import type { DeviceReason } from '../runtime/index.ts'
import type { Transcript } from './insight.ts'
import type { Accuracy, Report, ReportedErrorRate } from './report.ts'

export type PhaseName =
  | 'synthesise'
  | 'prepare'
  | 'align'
  | 'cross-entropy'
  | 'control'
  | 'sequence'
  | 'images'
  | 'fine-tuning'
  | 'evaluate'

export type RunEvent =
  | {
      readonly type: 'phase'
      readonly phase: PhaseName
      readonly total: number
      readonly unit: 'utterances' | 'updates' | 'voices' | 'images' | 'rows'
    }
  | {
      readonly type: 'progress'
      readonly phase: PhaseName
      readonly done: number
      readonly total: number
      readonly examples?: 'frames' | 'images' | 'rows'
      readonly examplesPerSecond?: number
      readonly loss?: number
      /** What the first shard scales its updates by, as of the last second or so. */
      readonly learningRate?: number
      /** Trainers that take part; of a replica that is cut, the process which takes its steps. */
      readonly team?: readonly string[]
      readonly remainingSeconds?: number
    }
  | { readonly type: 'phase-ended'; readonly phase: PhaseName; readonly seconds: number }
  | {
      readonly type: 'death'
      readonly actor: string
      readonly cause: string
      /** What its process owned, where it owned a device. */
      readonly device?: string
      readonly isDeviceFault?: boolean
    }
  /** Its next life owns another device. */
  | {
      readonly type: 'device'
      readonly actor: string
      readonly device: string
      readonly reason: DeviceReason
    }
  | { readonly type: 'recovered'; readonly actor: string; readonly recoveredMs: number }
  | {
      readonly type: 'evaluated'
      readonly model: string
      readonly set: 'development' | 'test'
      readonly errorRate: ReportedErrorRate
    }
  /** What a model heard of some development strings: the same ones each time. */
  | {
      readonly type: 'transcripts'
      readonly model: string
      readonly sample: readonly Transcript[]
    }
  /** Of the averaged weights, while training and at its end. */
  | {
      readonly type: 'accuracy'
      readonly model: string
      readonly set: 'test'
      readonly accuracy: Accuracy
    }
  | { readonly type: 'skipped'; readonly name: string; readonly reason: string }
  /** Somebody did something to the run: 'paused', 'adjusted' (detail 'policy ssp:4'), 'added', ... */
  | { readonly type: 'steered'; readonly what: string; readonly detail?: string }
  | { readonly type: 'note'; readonly message: string }
  | { readonly type: 'finished'; readonly report: Report }
