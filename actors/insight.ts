// What a person looks at in a run: plain values, each bounded, made when somebody asks. There while the run
// is under way and after it, as far as it was computed. Whoever serves it maps the four errors.

export interface RunInsight {
  readonly speech?: SpeechInsight
  readonly image?: ImageInsight
  /** Where replicas are cut into subnetworks. */
  readonly pipeline?: PipelineInsight
}

export const insightLimits = {
  /** Development utterances that are listed, and whose hypotheses are kept: the first ones. */
  utterancesMax: 1_000,
  /** Of a `transcripts` event. */
  transcriptsMax: 8,
  /** Arcs of a lattice that is shown; the best path stays whole. */
  arcsMax: 400,
  /** Computations that wait while one is under way. */
  waitingMax: 8,
  /** A confusion matrix of so many classes is shown whole. */
  matrixClassesMax: 100,
  /** Of more classes: the pairs most often confused. */
  pairsMax: 200,
  samplesMax: 64,
  /** Spans that a stage remembers. */
  spansMax: 1_024,
  timelineMs: 5_000,
  /** Of a sound or an image that is sent to be recognised. */
  inputBytesMax: 32 << 20,
} as const

/** So many wait already: ask again later. */
export class BusyError extends Error {
  override readonly name = 'BusyError'
}

/** There is no such utterance, or no such test image. */
export class UnknownIdError extends Error {
  override readonly name = 'UnknownIdError'
}

/** The run has not come so far, or ended before it did. */
export class NotComputedError extends Error {
  override readonly name = 'NotComputedError'
}

/** What was sent is no sound or image that can be read: the message says why. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
}

export interface SpeechInsight {
  /** Development strings, with the words that the last evaluation heard. */
  utterances(): Promise<readonly UtteranceShown[]>
  /** By the present model. Rejects with `UnknownIdError`, `BusyError`, `NotComputedError`. */
  lattice(id: string): Promise<LatticeShown>
  /** WAV or FLAC, by the present model. Rejects with `UnreadableError`, `BusyError`, `NotComputedError`. */
  transcribe(audio: Uint8Array): Promise<Transcription>
}

export interface UtteranceShown {
  readonly id: string
  readonly set: 'development'
  readonly reference: readonly string[]
  /** Absent before the first evaluation, as are the next two. */
  readonly hypothesis?: readonly string[]
  readonly errors?: number
  /** Name of the model that heard it. */
  readonly model?: string
}

export interface Transcript {
  readonly id: string
  readonly reference: readonly string[]
  readonly hypothesis: readonly string[]
}

/** All times in seconds. */
export interface LatticeShown {
  readonly id: string
  readonly model: string
  readonly frames: number
  readonly frameMs: number
  readonly reference: readonly string[]
  readonly hypothesis: readonly string[]
  /** Of the hypothesis. */
  readonly words: readonly WordShown[]
  /** Of the hypothesis, frame by frame: the phones, and the states they are made of ('AH.2'). */
  readonly alignment: readonly {
    readonly level: 'phone' | 'state'
    readonly label: string
    readonly from: number
    readonly to: number
  }[]
  /** In the order of their times. The first is the start of every path, the last its end. */
  readonly states: readonly { readonly time: number }[]
  /** Every path takes one arc at each time: the posteriors of those over it sum to 1. */
  readonly arcs: readonly ArcShown[]
}

export interface WordShown {
  readonly word: string
  readonly from: number
  readonly to: number
  /** 0 to 1: that of the word in its likeliest frame, over all paths. */
  readonly posterior: number
}

export interface ArcShown {
  /** Indexes of states. */
  readonly from: number
  readonly to: number
  /** '': silence. */
  readonly word: string
  readonly posterior: number
  /** Natural log: graph and scaled acoustics of its best way. The best path has the largest sum. */
  readonly score: number
}

export interface Transcription {
  /** Which model; absent where a file was opened. */
  readonly model?: string
  readonly words: readonly string[]
  readonly times: readonly {
    readonly word: string
    /** Seconds. */
    readonly from: number
    readonly to: number
    /** 0 to 1, as `WordShown.posterior`. */
    readonly confidence: number
  }[]
  /** 0 to 1: mean over the frames of the posterior of what was heard there. */
  readonly confidence: number
}

export interface ImageInsight {
  /** Of the last evaluation on test images; undefined before the first. */
  confusion(): Promise<Confusion | undefined>
  /** Of the last evaluation: the same test images each time, half of them mistakes where there are any. */
  samples(): Promise<SamplesShown | undefined>
  /** A test image as PNG. Rejects with `UnknownIdError`. */
  imagePng(index: number): Promise<Uint8Array>
  /** JPEG, PNG or WebP, by the present model. Rejects with `UnreadableError`, `BusyError`, `NotComputedError`. */
  classify(image: Uint8Array): Promise<Classification>
}

interface ConfusionCounts {
  readonly model: string
  readonly classes: readonly string[]
  readonly images: number
  /** On the diagonal: they are what top-1 counts. */
  readonly correct: number
}

export type Confusion = ConfusionCounts &
  (
    | {
        readonly type: 'matrix'
        /** Images by label, then by what was predicted. */
        readonly counts: readonly (readonly number[])[]
      }
    | {
        readonly type: 'pairs'
        /** Most often confused first. */
        readonly pairs: readonly {
          readonly label: string
          readonly predicted: string
          readonly count: number
        }[]
      }
  )

export interface SamplesShown {
  readonly model: string
  readonly samples: readonly {
    /** For `imagePng`. */
    readonly index: number
    readonly name: string
    readonly label: string
    readonly isCorrect: boolean
    readonly top: readonly ClassShown[]
  }[]
}

export interface ClassShown {
  readonly label: string
  readonly probability: number
}

export interface Classification {
  readonly model: string
  readonly top: readonly ClassShown[]
}

export interface PipelineInsight {
  /** What the stages did lately, over one axis; of a run that ended: when it was last asked, or ended. */
  timeline(): Promise<Timeline>
}

export type SpanKind = 'forward' | 'backward' | 'both' | 'push' | 'wait'

/**
 * Forward, backward, both (all that the last stage does) and wait follow each other within a stage; pushes
 * go on beside them.
 */
export interface Span {
  readonly stage: number
  readonly replica: number
  readonly kind: SpanKind
  /** The step; of a wait: of what it waited for, null where that has not come. */
  readonly minibatch: number | null
  /** Milliseconds of the axis. */
  readonly from: number
  readonly to: number
}

export interface Timeline {
  /** Wall time, in milliseconds since 1970, of 0 on the axis. */
  readonly startedAt: number
  /** Length of the axis: at most `insightLimits.timelineMs`. */
  readonly durationMs: number
  readonly stages: readonly {
    readonly stage: number
    readonly replica: number
    /** Its process. */
    readonly name: string
    /** 0 to 1: part of the axis in which it computed nothing. */
    readonly idleShare: number
  }[]
  readonly spans: readonly Span[]
  /** Processes that did not answer. */
  readonly missing: readonly string[]
}
