// The end of a speech run: the models that development strings chose, judged once on the test set, and
// everything the run counted.
import type { ErrorRate } from '../../models/sequence/error-rate.ts'
import { pairedBootstrap } from '../../models/sequence/error-rate.ts'
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import { alignedFloat32 } from '../../protocol/tensor.ts'
import type { ShardStatus } from '../../protocol/training.ts'
import type { SpeechReport } from '../report.ts'
import { logPriorsOf } from './compute.ts'
import type { Evaluation } from './evaluator.ts'
import { writeModel } from './model.ts'
import { modelPath } from '../run/record.ts'
import { describeStaleness, sumUpdates } from '../run/report.ts'
import { keep, timed } from '../run/world.ts'
import type { Candidate, SpeechRecord } from './run-record.ts'
import { openAlignments } from './task.ts'
import type { SpeechUnderWay, SpeechWorld } from './world.ts'

export async function concludeRun(
  run: SpeechUnderWay,
  end: { readonly statuses: readonly ShardStatus[]; readonly parameters: number },
): Promise<SpeechReport> {
  const { world, record } = run
  const { options } = world
  const crossEntropy = chosen(record, ['crossEntropy'])
  // Epoch 0, the cross-entropy model, is a candidate of everything that starts from it.
  const control = options.control ? chosen(record, ['crossEntropy', 'control']) : undefined
  const final = chosen(record, ['crossEntropy', 'sequence'])
  const candidates = new Map([crossEntropy, ...(control ? [control] : []), final].map(byName))
  const tested = await timed(world, 'evaluate', testModels(run, [...candidates.values()]))
  keepTestErrors(run, { crossEntropy, control, final }, tested)
  const resultOf = (candidate: Candidate): Evaluation => {
    const evaluation = tested.get(candidate.name)
    assert(evaluation !== undefined, 'every chosen model was tested')
    return evaluation
  }
  const compare = (before: Candidate) =>
    pairedBootstrap(resultOf(before).utterances, resultOf(final).utterances, randomFor('paired'))
  keep(run)
  const { tally, seconds, restarts, acknowledgedSteps } = run.record
  return {
    task: 'speech',
    criterion: options.criterion,
    policy: options.policy,
    seed: options.seed,
    workers: options.workers,
    shards: options.shards,
    utterances: run.corpus.sizes,
    parameters: end.parameters,
    seconds,
    errorRate: {
      crossEntropy: reported(resultOf(crossEntropy).errorRate),
      ...(control && { control: reported(resultOf(control).errorRate) }),
      final: reported(resultOf(final).errorRate),
    },
    comparison: {
      crossEntropy: compare(crossEntropy),
      ...(control && { control: compare(control) }),
    },
    kept: final.model === 'sequence' ? 'sequence' : 'crossEntropy',
    updates: sumUpdates(end.statuses, acknowledgedSteps),
    staleness: describeStaleness(end.statuses),
    restarts,
    throughput: { framesPerSecond: tally.examples / Math.max(1e-9, tally.seconds) },
    computeShare: tally.computeMs / Math.max(1e-9, tally.trainerMs),
    skipped: record.skipped,
    rejectedFrames: tally.rejected,
    nonFinite: tally.nonFinite,
    model: exportCandidate(run, final),
  }
}

const byName = (candidate: Candidate) => [candidate.name, candidate] as const

async function testModels(
  { world, corpus, evaluator }: SpeechUnderWay,
  candidates: readonly Candidate[],
): Promise<ReadonlyMap<string, Evaluation>> {
  const { emit } = world
  const total = candidates.length * corpus.sizes.test
  emit({ type: 'phase', phase: 'evaluate', total, unit: 'utterances' })
  const tested = new Map<string, Evaluation>()
  let done = 0
  for (const candidate of candidates) {
    const { parameters, setting } = loadCandidate(world, candidate)
    const { name, alignments } = candidate
    const evaluation = await evaluator.test(parameters, alignments, setting, (utterances) => {
      done += utterances
      emit({ type: 'progress', phase: 'evaluate', done, total })
    })
    tested.set(name, evaluation)
    const errorRate = reported(evaluation.errorRate)
    emit({ type: 'evaluated', model: name, set: 'test', errorRate })
  }
  return tested
}

function chosen({ candidates }: SpeechRecord, models: readonly Candidate['model'][]): Candidate {
  const among = candidates.filter(({ model }) => models.includes(model))
  const best = among.reduce<Candidate | undefined>(
    (least, one) => (least && least.development.percent <= one.development.percent ? least : one),
    undefined,
  )
  assert(best !== undefined, 'the plan yields a cross-entropy model')
  return best
}

function loadCandidate(world: SpeechWorld, { name, development }: Candidate) {
  const bytes = world.environment.disk.read(modelPath(world.options.out, name))
  const { scale, bonus } = development
  const parameters = new Float32Array(new SharedArrayBuffer(bytes.byteLength))
  parameters.set(alignedFloat32(bytes))
  return { parameters, setting: { scale, bonus } }
}

function exportCandidate(run: SpeechUnderWay, candidate: Candidate): string {
  const { task, world } = run
  const { disk } = world.environment
  const { parameters, setting } = loadCandidate(world, candidate)
  const alignments = openAlignments(disk.read(`${task.folder}/${candidate.alignments}`))
  return writeModel(disk, world.options.out, {
    parameters,
    card: {
      criterion: candidate.model === 'sequence' ? world.options.criterion : 'ce',
      snr: world.options.snr,
      shape: task.network,
      logPriors: [...logPriorsOf(alignments, task.network.outputs)],
      decoding: setting,
    },
  })
}

function reported({ percent, insertions, deletions, substitutions, words, low, high }: ErrorRate) {
  return { percent, insertions, deletions, substitutions, words, low, high }
}

/** Errors per test utterance and model, `[insertions, deletions, substitutions, words]`: for pooled tests. */
function keepTestErrors(
  { world }: SpeechUnderWay,
  chosen: Readonly<Record<string, Candidate | undefined>>,
  tested: ReadonlyMap<string, Evaluation>,
): void {
  const errors = Object.entries(chosen).map(([name, candidate]) => {
    const utterances = tested.get(candidate?.name ?? '')?.utterances ?? []
    return [
      name,
      utterances.map(({ insertions, deletions, substitutions, words }) => [
        insertions,
        deletions,
        substitutions,
        words,
      ]),
    ]
  })
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(errors)))
  world.environment.disk.write(`${world.options.out}/test-errors.json`, json)
}
