// What the compute thread of a speech trainer does: minibatches to gradients, utterances to lattices.
// Parameters and gradients are shared memory; features and alignments are mapped files.
import { normOf } from '../../models/optimizers/index.ts'
import { pdfPriors } from '../../models/sequence/alignment.ts'
import { addCrossEntropy, sequenceLoss } from '../../models/sequence/criterion.ts'
import { type Decoder, decoder } from '../../models/sequence/decoder.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { type FeatureStore, openFeatureStore } from '../../models/sequence/feature-store.ts'
import { type Lattice, packLattice, rescore, unpackLattice } from '../../models/sequence/lattice.ts'
import {
  type FrameBatches,
  frameBatches,
  type UtteranceBatches,
  utteranceBatches,
} from '../../models/sequence/minibatches.ts'
import { assert } from '../../protocol/assert.ts'
import type { Clock, Disk } from '../../runtime/environment.ts'
import type { TrainerFault } from '../chaos-plan.ts'
import type { PhaseRequest, StepRequest, StepResult } from '../trainer.ts'
import { decodingGraph } from './graph.ts'
import { type SpeechNetwork, speechNetwork } from './network.ts'
import {
  alignmentOf,
  type FramesPhase,
  featuresPath,
  openAlignments,
  type SequencesPhase,
  type SpeechTask,
} from './task.ts'

export interface ComputeWorld {
  readonly disk: Disk
  readonly clock: Clock
}

export interface LatticeRequest {
  readonly phase: number
  readonly sequence: number
  readonly configuration: unknown
  readonly parameters: Float32Array
}

export interface SpeechCompute {
  open(task: SpeechTask): void
  /** Opens what the steps of a phase need, while their parameters are on the way. */
  openPhase(request: PhaseRequest): Promise<void>
  step(request: StepRequest): Promise<StepResult>
  lattices(request: LatticeRequest): Promise<Record<string, Uint8Array>[]>
  /** For chaos: loses the device, or blocks this thread for good. */
  fail(how: TrainerFault): void
}

interface Opened {
  readonly task: SpeechTask
  readonly store: FeatureStore
  readonly network: SpeechNetwork
  /** Megabytes that every step needs: fresh ones would cost it their page faults. */
  readonly scratch: { features: Float32Array; outer: Float32Array }
  frames?: FramesWork
  sequences?: SequencesWork
}

interface FramesWork {
  readonly phase: number
  readonly batches: FrameBatches
  readonly alignments: Alignment
}

interface SequencesWork {
  readonly phase: number
  readonly configuration: SequencesPhase
  readonly batches: UtteranceBatches
  readonly alignments: Alignment
  readonly logPriors: Float32Array
  readonly decoder: Decoder
}

export function speechCompute(world: ComputeWorld): SpeechCompute {
  let opened: Opened | undefined
  const whenOpened = (): Opened => {
    assert(opened !== undefined, '`open` comes first')
    return opened
  }
  return {
    open(task) {
      opened = {
        task,
        store: openFeatureStore(world.disk.map(featuresPath(task.folder, 'train'))),
        network: speechNetwork(task.network, { ...task, clock: world.clock }),
        scratch: { features: new Float32Array(), outer: new Float32Array() },
      }
    },
    async openPhase(request) {
      const work = whenOpened()
      if (request.kind === 'frames') {
        openFrames(work, request, world)
        await work.network.prepare(['crossEntropy'])
      } else {
        openSequences(work, request, world)
        await work.network.prepare(['forward', 'outer'])
      }
    },
    async step(request) {
      const work = whenOpened()
      const before = work.network.computeMs
      const result =
        request.kind === 'frames'
          ? await framesStep(work, request, world)
          : await sequencesStep(work, request, world)
      return { ...result, computeMs: work.network.computeMs - before }
    },
    fail(how) {
      if (how === 'fault') whenOpened().network.loseDevice()
      else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
    },
    async lattices(request) {
      const work = whenOpened()
      const sequences = openSequences(work, request, world)
      const utterances = sequences.batches.utterancesOf(request.sequence)
      const all = await work.network.forward(request.parameters, gather(work, utterances))
      const scores = cutIntoUtterances(work, sequences, utterances, all)
      // An utterance without a path has no arrays; its step counts it.
      return scores.map(({ scores }) => {
        const lattice = makeLattice(sequences, scores)
        return lattice ? packLattice(lattice) : {}
      })
    },
  }
}

type Result = Omit<StepResult, 'computeMs'>

async function framesStep(
  work: Opened,
  request: StepRequest,
  world: ComputeWorld,
): Promise<Result> {
  const { store, network, task } = work
  const { batches, alignments } = openFrames(work, request, world)
  const frames = batches.framesOf(request.sequence)
  const features = scratchOf(work, 'features', frames.length * task.network.inputs)
  store.gatherFrames(frames, features)
  const targets = Int32Array.from(frames, (frame) => alignments.pdfs[frame] ?? 0)
  const { parameters, gradient } = request
  const loss = await network.crossEntropy({ parameters, gradient, features, targets })
  const finite = Number.isFinite(loss)
  const nonFinite = zeroUnlessFinite(gradient) && finite ? 0 : 1
  return { examples: frames.length, loss: finite ? loss : NON_FINITE_LOSS, rejected: 0, nonFinite }
}

/** Loss of a frame whose criterion is not finite (Kaldi, nnet3/discriminative-training.cc). */
const NON_FINITE_LOSS = 10

/** A gradient that is not finite becomes zero: training goes on, and a counter tells of it. */
function zeroUnlessFinite(gradient: Float32Array): boolean {
  const hasNorm = Number.isFinite(normOf(gradient))
  if (!hasNorm) gradient.fill(0)
  return hasNorm
}

async function sequencesStep(
  work: Opened,
  request: StepRequest,
  world: ComputeWorld,
): Promise<Result> {
  const sequences = openSequences(work, request, world)
  const { configuration } = sequences
  const { parameters, gradient } = request
  const utterances = sequences.batches.utterancesOf(request.sequence)
  const features = gather(work, utterances)
  const all = await work.network.forward(parameters, features)
  const scored = cutIntoUtterances(work, sequences, utterances, all)
  const frames = scored.reduce((sum, { frames }) => sum + frames, 0)
  const { outputs } = work.task.network
  const outer = scratchOf(work, 'outer', frames * outputs).fill(0)
  let [loss, rejected, nonFinite, at] = [0, 0, 0, 0]
  scored.forEach(({ scores, logPosteriors, alignment, frames }, index) => {
    const made = request.lattices?.[index]
    const lattice = made ? unpackMade(made) : makeLattice(sequences, scores)
    if (lattice && made) rescore(lattice, scores, outputs)
    const { criterion, options, crossEntropyWeight } = configuration
    const result =
      lattice && sequenceLoss(criterion, { lattice, alignment, scores, pdfs: outputs, options })
    if (result?.finite) {
      rejected += result.rejectedFrames
      loss -= result.value
      addCrossEntropy(result.outer, logPosteriors, alignment, crossEntropyWeight)
      outer.set(result.outer, at)
    } else {
      nonFinite += 1
      loss += NON_FINITE_LOSS * frames
    }
    at += frames * outputs
  })
  for (let i = 0; i < outer.length; i++) outer[i]! /= frames
  await work.network.backward({ parameters, gradient, features, outer })
  // Activations that overflowed make a zero outer derivative a gradient that is not a number.
  if (!zeroUnlessFinite(gradient)) nonFinite = utterances.length
  return { examples: frames, loss: loss / frames, rejected, nonFinite }
}

interface Scored {
  readonly frames: number
  readonly alignment: Alignment
  /** T x pdfs. */
  readonly logPosteriors: Float32Array
  /** T x pdfs: log posterior - log prior, the acoustic scores. */
  readonly scores: Float32Array
}

/** The log posteriors of a minibatch, one utterance after the other, as acoustic scores of each. */
function cutIntoUtterances(
  work: Opened,
  { alignments, logPriors }: SequencesWork,
  utterances: readonly number[],
  all: Float32Array,
): Scored[] {
  const { outputs } = work.task.network
  let at = 0
  return utterances.map((index) => {
    const { frames, offset } = utteranceOf(work.store, index)
    const logPosteriors = all.subarray(at, (at += frames * outputs))
    const scores = logPosteriors.slice()
    for (let i = 0; i < scores.length; i++) scores[i]! -= logPriors[i % outputs]!
    return { frames, alignment: alignmentOf(alignments, offset, frames), logPosteriors, scores }
  })
}

/** So many elements of a buffer that lasts from step to step; what they hold is left over. */
function scratchOf({ scratch }: Opened, name: keyof Opened['scratch'], length: number) {
  if (scratch[name].length < length) scratch[name] = new Float32Array(Math.ceil(1.25 * length))
  return scratch[name].subarray(0, length)
}

function gather(work: Opened, utterances: readonly number[]): Float32Array {
  const { store, task } = work
  const { inputs } = task.network
  const frames = utterances.reduce((sum, index) => sum + utteranceOf(store, index).frames, 0)
  const features = scratchOf(work, 'features', frames * inputs)
  let at = 0
  for (const index of utterances) {
    const utterance = utteranceOf(store, index)
    const rows = Uint32Array.from({ length: utterance.frames }, (_, row) => utterance.offset + row)
    store.gatherFrames(rows, features.subarray(at, (at += rows.length * inputs)))
  }
  return features
}

/** Of an utterance without a path the lattice worker sends nothing. */
function unpackMade(made: Readonly<Record<string, Uint8Array>>): Lattice | undefined {
  return Object.keys(made).length === 0 ? undefined : unpackLattice(made)
}

function makeLattice(
  { configuration, decoder }: SequencesWork,
  scores: Float32Array,
): Lattice | undefined {
  const { options, beam, latticeBeam } = configuration
  const { acousticScale } = options
  return decoder.makeLattice(scores, { acousticScale, beam, latticeBeam })
}

function openFrames(work: Opened, request: PhaseRequest, { disk }: ComputeWorld): FramesWork {
  if (work.frames?.phase === request.phase) return work.frames
  const { alignments, batchFrames } = request.configuration as FramesPhase
  const { seed, folder } = work.task
  work.frames = {
    phase: request.phase,
    batches: frameBatches({ seed, frameCount: work.store.frameCount, batchFrames }),
    alignments: openAlignments(disk.map(`${folder}/${alignments}`)),
  }
  return work.frames
}

function openSequences(
  work: Opened,
  request: { readonly phase: number; readonly configuration: unknown },
  { disk }: ComputeWorld,
): SequencesWork {
  if (work.sequences?.phase === request.phase) return work.sequences
  const configuration = request.configuration as SequencesPhase
  const { seed, folder, network } = work.task
  const alignments = openAlignments(disk.map(`${folder}/${configuration.alignments}`))
  const { batchUtterances, wordBonus } = configuration
  work.sequences = {
    phase: request.phase,
    configuration,
    batches: utteranceBatches({
      seed,
      lengths: work.store.utterances.map(({ frames }) => frames),
      batchUtterances,
    }),
    alignments,
    logPriors: logPriorsOf(alignments, network.outputs),
    decoder: decoder(decodingGraph(wordBonus), network.outputs),
  }
  return work.sequences
}

/** Natural log of the relative frequency of each pdf in an alignment. */
export function logPriorsOf({ pdfs }: Alignment, count: number): Float32Array {
  return Float32Array.from(pdfPriors(pdfs, count), Math.log)
}

function utteranceOf(store: FeatureStore, index: number): FeatureStore['utterances'][number] {
  const utterance = store.utterances[index]
  assert(utterance !== undefined, `utterance ${index} is in the feature store`)
  return utterance
}
