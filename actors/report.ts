// The report of a run: what `--report FILE` holds and the table at the end shows.

export type Report = SpeechReport | ImageReport | ModelReport

/** What every run reports, whatever it trains. */
export interface RunReport {
  readonly policy: string
  readonly seed: number
  readonly workers: number
  readonly shards: number
  readonly parameters: number
  readonly seconds: number
  /** Counted once for every shard. */
  readonly updates: {
    readonly acknowledged: number
    readonly applied: number
    readonly duplicates: number
    readonly refused: number
  }
  /** Counted in updates of the shard between the parameters seen and the gradient applied. */
  readonly staleness: {
    readonly p50: number
    readonly p99: number
    readonly max: number
    readonly histogram: readonly number[]
  }
  readonly restarts: readonly Restart[]
  /** Part of the trainers' wall time spent inside ONNX Runtime, 0 to 1. */
  readonly computeShare: number
  readonly skipped: readonly { readonly name: string; readonly reason: string }[]
  readonly nonFinite: number
  /** Path of `model.onnx`; `model.safetensors` lies beside it. */
  readonly model: string
}

export interface SpeechReport extends RunReport {
  readonly task: 'speech'
  readonly criterion: Criterion
  /** Utterances of each set, without those left out. */
  readonly utterances: {
    readonly train: number
    readonly development: number
    readonly test: number
  }
  readonly errorRate: {
    readonly crossEntropy: ReportedErrorRate
    readonly control?: ReportedErrorRate
    readonly final: ReportedErrorRate
  }
  /** Paired bootstrap of final against cross-entropy (and control): relative change in percent. */
  readonly comparison: {
    readonly crossEntropy: Comparison
    readonly control?: Comparison
  }
  /** Which model development strings chose: `final` and `model` are of this one. */
  readonly kept: 'crossEntropy' | 'sequence'
  readonly throughput: { readonly framesPerSecond: number }
  readonly rejectedFrames: number
}

export interface ImageReport extends RunReport {
  readonly task: 'image'
  readonly network: string
  readonly size: number
  readonly classes: readonly string[]
  /** Images of each set, without those left out. */
  readonly images: { readonly train: number; readonly test: number }
  /** Parts that each replica of the network is cut into; 1: not cut. */
  readonly subnetworks: number
  /** Of the averaged weights, on the test set. */
  readonly accuracy: Accuracy
  readonly throughput: { readonly imagesPerSecond: number }
}

export interface ModelReport extends RunReport {
  readonly task: 'model'
  /** The file that was fine-tuned; `model` is what it became. */
  readonly tuned: string
  readonly rows: { readonly train: number; readonly test: number }
  /** Names of the trained tensors. */
  readonly trained: readonly string[]
  /** On the rows held out. */
  readonly loss: { readonly name: string; readonly before: number; readonly after: number }
  readonly accuracy?: { readonly before: Accuracy; readonly after: Accuracy }
  readonly throughput: { readonly rowsPerSecond: number }
}

export interface Accuracy {
  /** In percent. */
  readonly top1: number
  readonly top5: number
  /** 95 % interval of `top1` (Wilson 1927), in percent. */
  readonly low: number
  readonly high: number
}

export type Criterion = 'ce' | 'mmi' | 'bmmi' | 'mpfe' | 'mwe' | 'smbr'

export interface ReportedErrorRate {
  readonly percent: number
  readonly insertions: number
  readonly deletions: number
  readonly substitutions: number
  readonly words: number
  /** 95 % bootstrap interval, in percent. */
  readonly low: number
  readonly high: number
}

export interface Comparison {
  readonly relativePercent: number
  readonly low: number
  readonly high: number
}

export interface Restart {
  readonly actor: string
  readonly cause: string
  /** What its process owned, where it owned a device, and what the successor owns. */
  readonly device?: string
  readonly nextDevice?: string
  /** The device failed: it was lost, had no memory left, or a step did not end. */
  readonly isDeviceFault?: boolean
  /**
   * From the death seen to the successor at work: a trainer's first step taken by every shard, a shard
   * that answers. Null where the run ended before it was needed.
   */
  readonly recoveredMs: number | null
}
