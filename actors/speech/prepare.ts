// The first part of a run, seen from the control process: sets to feature files, and alignments from a
// flat start. What is prepared stays in the run's folder; a resumed run finds it there.

import {
  addCounts,
  CorpusError,
  describeSounds,
  type Skipped,
  type SoundCounts,
} from '../../models/sequence/corpus.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { featureStoreEncoder, openFeatureStore } from '../../models/sequence/feature-store.ts'
import type { GaussianModel } from '../../models/sequence/gaussian.ts'
import { assert } from '../../protocol/assert.ts'
import type { ComputeThread, Disk } from '../../runtime/environment.ts'
import type { RunEvent } from '../events.ts'
import { inParts } from '../part-work.ts'
import { type CorporaOptions, SAMPLE_RATE } from './corpora.ts'
import { pdfCount } from './graph.ts'
import { alignmentFiles } from './plan.ts'
import { type CorpusCounts, filterbank, type PreparedPart } from './preparation.ts'
import { encodeAlignments, featuresPath, type NetworkShape, type SetName } from './task.ts'

export interface PreparedCorpus {
  readonly folder: string
  readonly shape: Pick<NetworkShape, 'inputs' | 'outputs'>
  readonly training: { readonly frames: number; readonly utterances: number }
  readonly sizes: { readonly [Name in SetName]: number }
  readonly skipped: readonly Skipped[]
}

export interface PrepareOptions {
  readonly disk: Disk
  readonly threads: readonly ComputeThread[]
  readonly folder: string
  readonly corpora: CorporaOptions
  readonly emit: (event: RunEvent) => void
}

/** Frames to each side that the network sees. */
const CONTEXT = 5
const FLAT_START = { utterances: 800, passes: 8 }
const PART_UTTERANCES = 40
const SETS: readonly SetName[] = ['train', 'development', 'test']
const PREPARED = 'prepared.json'

export async function prepareCorpus(options: PrepareOptions): Promise<PreparedCorpus> {
  const { disk, folder, threads, emit, corpora } = options
  const path = `${folder}/${PREPARED}`
  if (disk.exists(path)) {
    const prepared = JSON.parse(new TextDecoder().decode(disk.read(path))) as PreparedCorpus
    // The folder may have been moved since.
    return { ...prepared, folder }
  }
  disk.makeFolder(folder)
  const opened = await Promise.all(threads.map((thread) => thread.call('openCorpora', corpora)))
  const { sizes, skipped, counts } = opened[0] as CorpusCounts
  const [first] = threads
  assert(first !== undefined, 'preparation has a compute thread')
  const total = SETS.reduce((sum, set) => sum + sizes[set], 0)
  emit({ type: 'phase', phase: 'prepare', total, unit: 'utterances' })
  const model = (await first.call('flatStart', FLAT_START)) as GaussianModel
  const all: Skipped[] = [...skipped]
  let done = 0
  const onDone = (utterances: number): void => {
    done += utterances
    emit({ type: 'progress', phase: 'prepare', done, total })
  }
  const heard: SoundCounts[] = [counts]
  for (const set of SETS) {
    const written = await writeSet(options, { set, count: sizes[set], model, onDone })
    all.push(...written.skipped)
    heard.push(...written.counts)
  }
  for (const message of describeSounds(addCounts(heard), SAMPLE_RATE)) {
    emit({ type: 'note', message })
  }
  for (const one of all) emit({ type: 'skipped', ...one })
  const prepared = describe(disk, folder, all)
  disk.write(path, new TextEncoder().encode(JSON.stringify(prepared)))
  return prepared
}

async function writeSet(
  { disk, threads, folder }: PrepareOptions,
  set: {
    readonly set: SetName
    readonly count: number
    readonly model: GaussianModel
    readonly onDone: (utterances: number) => void
  },
): Promise<{ skipped: Skipped[]; counts: SoundCounts[] }> {
  const path = featuresPath(folder, set.set)
  if (disk.exists(path)) disk.remove(path)
  const file = disk.append(path)
  const encoder = featureStoreEncoder({ dims: filterbank.numMelBins, context: CONTEXT })
  const alignments: Alignment[] = []
  const skipped: Skipped[] = []
  const counts: SoundCounts[] = []
  const isTraining = set.set === 'train'
  file.append(encoder.open())
  await inParts<PreparedPart>(threads, {
    total: set.count,
    partSize: PART_UTTERANCES,
    work: (thread, part) =>
      thread.call('prepare', { set: set.set, ...part, ...(isTraining && { model: set.model }) }),
    take(result, { from, to }) {
      for (const utterance of result.utterances) {
        file.append(encoder.add(utterance))
        if (utterance.alignment) alignments.push(utterance.alignment)
      }
      skipped.push(...result.skipped)
      counts.push(result.counts)
      set.onDone(to - from)
    },
  })
  file.append(encoder.close())
  file.close()
  if (isTraining) disk.write(`${folder}/${alignmentFiles.flatStart}`, encodeAlignments(alignments))
  return { skipped, counts }
}

function describe(disk: Disk, folder: string, skipped: readonly Skipped[]): PreparedCorpus {
  const [train, development, test] = SETS.map((set) =>
    openFeatureStore(disk.map(featuresPath(folder, set))),
  )
  assert(!!train && !!development && !!test, 'three sets were written')
  for (const [index, store] of [train, development, test].entries()) {
    if (store.utterances.length > 0) continue
    throw new CorpusError(`no usable utterance for the ${SETS[index]} set: see what was skipped`)
  }
  return {
    folder,
    shape: { inputs: (2 * CONTEXT + 1) * filterbank.numMelBins, outputs: pdfCount },
    training: { frames: train.frameCount, utterances: train.utterances.length },
    sizes: {
      train: train.utterances.length,
      development: development.utterances.length,
      test: test.utterances.length,
    },
    skipped,
  }
}

/** New alignments of the training set by a network, into a new file. */
export async function realign(
  { disk, threads, emit }: Pick<PrepareOptions, 'disk' | 'threads' | 'emit'>,
  corpus: PreparedCorpus,
  request: { parameters: Float32Array; from: string; into: string; scale: number },
): Promise<void> {
  const alignments: Alignment[] = []
  const total = corpus.sizes.train
  const { parameters, from: current, into, scale } = request
  emit({ type: 'phase', phase: 'align', total, unit: 'utterances' })
  await inParts<{ alignments: Alignment[]; refused: string[] }>(threads, {
    total,
    partSize: PART_UTTERANCES,
    work: (thread, part) =>
      thread.call('align', { ...part, parameters, alignments: current, scale }),
    take(result, { to }) {
      alignments.push(...result.alignments)
      for (const refused of result.refused)
        emit({ type: 'note', message: `kept its alignment: ${refused}` })
      emit({ type: 'progress', phase: 'align', done: to, total })
    },
  })
  disk.write(`${corpus.folder}/${into}`, encodeAlignments(alignments))
}
