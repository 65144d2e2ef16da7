// What trainers, parameter shards, lattice workers and the example source say to each other.
// Asks point one way: trainer -> shard, trainer -> source, trainer -> lattice worker. Shards never ask.
import {
  bytes,
  flag,
  type Infer,
  list,
  literal,
  number,
  optional,
  plain,
  replyTo,
  struct,
  tensor,
  text,
  u32,
  union,
} from './schema.ts'

/**
 * Which version of this shard's parameters each part of a gradient was computed with: the lattice, the
 * outer derivative (rescoring and forward-backward), and the inner derivative (backpropagation).
 */
export const Versions = struct({ lattice: u32, outer: u32, inner: u32 })
export type Versions = Infer<typeof Versions>

/** A gradient of one shard's range as it travels. `scales` belongs to the int8 codec. */
export const EncodedGradient = struct({
  codec: literal('float32', 'float16', 'int8'),
  values: tensor,
  scales: optional(tensor),
})
export type EncodedGradient = Infer<typeof EncodedGradient>

/**
 * One update. `sequence` is the number of the step in its phase, given out once by the example source:
 * the shard applies each sequence at most once, whoever computed it and however often it is sent.
 */
export const Push = struct({
  trainer: text,
  incarnation: u32,
  phase: u32,
  sequence: u32,
  versions: Versions,
  /** Frames (or examples) behind the gradient: weights the mean of a hard-sync round. */
  weight: number,
  gradient: EncodedGradient,
})
export type Push = Infer<typeof Push>

/**
 * A stretch of parameters. `decayed` weights and `free` ones (biases, gains) are trained; `statistics`
 * (running means and variances) follow what a push brings in the place of their gradient.
 */
export const Section = struct({ role: literal('decayed', 'free', 'statistics'), length: u32 })
export type Section = Infer<typeof Section>

export const PhaseStart = struct({
  /** Phases count up; a shard that is already in this phase answers without beginning it again. */
  phase: u32,
  steps: u32,
  /** `OptimizerSpec`, `StalenessPolicy`: validated by the shard when the phase begins. */
  optimizer: plain,
  policy: plain,
  /** Trainers that take part: a hard-sync round has one step of each, SSP waits for the slowest. */
  trainers: list(text),
  /** `Average`: how the averaged copy follows; validated by the shard. */
  average: plain,
  /** What each stretch of the shard's range is; absent: weights, all of it. */
  sections: optional(list(Section)),
  /** Replaces the parameters, e.g. to start the control from the cross-entropy model. */
  parameters: optional(tensor),
})
export type PhaseStart = Infer<typeof PhaseStart>

/** What steers a phase under way. It lasts until the next phase begins; a shard applies each once. */
export const Adjustment = struct({
  /** Counts up, over all lives of the run: a shard that has heard of this one, or a later one, ignores it. */
  change: u32,
  /** Multiplies what holds now. */
  rateScale: optional(number),
  /** `StalenessPolicy`: validated by the shard. Pushes that are held become a round as they are. */
  policy: optional(plain),
  /** Those that take part from now on; a round that is now full is applied. */
  trainers: optional(list(text)),
})
export type Adjustment = Infer<typeof Adjustment>

export const ShardMessage = union({
  begin: { start: PhaseStart, replyTo: replyTo<ShardStatus>() },
  push: { push: Push, replyTo: replyTo<Pushed>() },
  pull: { have: number, copy: literal('live', 'average'), replyTo: replyTo<Pulled>() },
  /** The trainer's former incarnations are refused from now on; it no longer holds others back. */
  fence: { trainer: text, incarnation: u32, replyTo: replyTo<ShardStatus>() },
  /** Writes everything to disk and starts a new journal. */
  checkpoint: { replyTo: replyTo<ShardStatus>() },
  status: { replyTo: replyTo<ShardStatus>() },
  adjust: { adjustment: Adjustment, replyTo: replyTo<Adjusted>() },
})
export type ShardMessage = Infer<typeof ShardMessage>

export interface Pushed {
  readonly verdict: 'applied' | 'duplicate' | 'refused'
  /** Why a push was refused; empty otherwise. */
  readonly reason: string
  readonly version: number
  readonly staleness: number
}

/** `parameters` is absent where the puller already has this version. */
export interface Pulled {
  readonly version: number
  readonly parameters?: Infer<typeof tensor>
}

export interface ShardStatus {
  readonly phase: number
  readonly version: number
  /** Every sequence below this one has been applied in this phase ... */
  readonly appliedBelow: number
  /** ... and these above it. */
  readonly appliedAbove: readonly number[]
  readonly updates: UpdateCounts
  /** Count of updates by staleness: index = staleness, the last bucket holds all above. */
  readonly staleness: readonly number[]
  readonly journalBytes: number
  /** Milliseconds from start to ready, of this incarnation. */
  readonly recoveredMs: number
  /** What the next update is scaled by: the schedule's rate and what adjustments made of it; 0 before a phase. */
  readonly learningRate: number
  /** As it is written: 'ssp:4'; '' before a phase. */
  readonly policy: string
  /** Its name; '' before a phase. */
  readonly optimizer: string
  readonly trainers: readonly string[]
  /** Steps that wait for the rest of their round: journalled, not applied. */
  readonly held: readonly number[]
  /** Of the last adjustment. */
  readonly change: number
}

/** `refusal`: why nothing was changed, where nothing was. */
export interface Adjusted extends ShardStatus {
  readonly refusal?: string
}

export interface UpdateCounts {
  readonly applied: number
  readonly duplicates: number
  readonly refused: number
}

/** What a step is made of: frames of anywhere, whole utterances, images. */
export const StepKind = literal('frames', 'sequences', 'images')
export type StepKind = Infer<typeof StepKind>

export const SourceMessage = union({
  /** Reports a finished step, where there is one, and asks for another. */
  next: {
    trainer: text,
    incarnation: u32,
    /** Which of the trainer's lanes asks: those above the phase's lanes wait. */
    lane: u32,
    finished: optional(
      struct({
        phase: u32,
        sequence: u32,
        examples: number,
        loss: number,
        computeMs: number,
        wallMs: number,
        rejected: number,
        nonFinite: number,
      }),
    ),
    replyTo: replyTo<Work>(),
  },
  /** What a dead trainer had taken goes back to the front. */
  release: { trainer: text },
  /** Up to this incarnation a trainer is given no new step; what it has it may finish. */
  retire: { trainer: text, incarnation: u32 },
  begin: {
    phase: u32,
    kind: StepKind,
    steps: u32,
    /** Steps that one trainer may have under way. */
    lanes: u32,
    /** Steps that every shard has already applied: where a resumed run goes on. */
    applied: struct({ below: u32, above: list(u32) }),
    /** What the compute thread needs to know of this phase; opaque here. */
    configuration: plain,
  },
  /** Of the phase under way. */
  lanes: { lanes: u32 },
  pause: { paused: flag },
  status: { replyTo: replyTo<SourceStatus>() },
})
export type SourceMessage = Infer<typeof SourceMessage>

export interface SourceStatus {
  /** 0 before the first. */
  readonly phase: number
  readonly steps: number
  /** Steps of the phase that are done. */
  readonly finished: number
  readonly taken: readonly {
    readonly sequence: number
    readonly trainer: string
    readonly lane: number
  }[]
  /** Steps that were given back and that nobody has. */
  readonly returned: readonly number[]
  readonly paused: boolean
}

/** `wait`: nothing to do now; ask again after `ms`. */
export type Work =
  | {
      readonly type: 'step'
      readonly phase: number
      readonly kind: StepKind
      readonly sequence: number
      readonly configuration: unknown
    }
  | { readonly type: 'wait'; readonly ms: number }

export const LatticeMessage = union({
  /** Lattices for the utterances of a step, made with parameters at least as new as the worker's last pull. */
  make: { phase: u32, sequence: u32, configuration: plain, replyTo: replyTo<MadeLattices>() },
})
export type LatticeMessage = Infer<typeof LatticeMessage>

export interface MadeLattices {
  /** Per shard: the parameter version that made the lattices. */
  readonly versions: readonly number[]
  /** Per utterance: named typed arrays as bytes (`packLattice`). */
  readonly lattices: readonly Readonly<Record<string, Uint8Array>>[]
}

export { bytes }
