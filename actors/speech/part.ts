// One part of a speech run's plan: trained like any part, its epochs judged on development strings, and
// the training set realigned where the plan says so.
import { assert } from '../../protocol/assert.ts'
import { alignedFloat32, bytesOf } from '../../protocol/tensor.ts'
import { keepFinished, trainPart } from '../run/part.ts'
import { modelPath } from '../run/record.ts'
import { keep, timed } from '../run/world.ts'
import { REALIGN_SCALE, type SpeechPart } from './plan.ts'
import { realign } from './prepare.ts'
import type { Candidate } from './run-record.ts'
import type { SpeechUnderWay } from './world.ts'

export async function trainSpeechPart(
  run: SpeechUnderWay,
  part: SpeechPart,
  initial: () => Float32Array,
): Promise<void> {
  const { halt, looker } = run
  looker.begun(part)
  const judging: Promise<void>[] = []
  const judge = (name: string): void => {
    const judged = judgeCandidate(run, part, name)
    // Heard at once: a judge that fails ends the run now, not at the end of the part.
    judged.catch(halt.because)
    judging.push(judged)
  }
  const nameOf = (epoch: number) => `${part.name}-${epoch}`
  const parameters = part.from === 'initial' ? initial() : part.from && loadModel(run, part.from)
  const done = await trainPart(run, part, {
    ...(parameters && { parameters }),
    onEpoch: (epoch) => {
      if (part.yields && part.yields !== 'crossEntropy') judge(nameOf(epoch))
    },
    isJudged: (epoch) => run.record.candidates.some(({ name }) => name === nameOf(epoch)),
  })
  if (part.yields) judge(part.name)
  await halt.until(Promise.all(judging))
  await realignWhereDue(run, part)
  keepFinished(run, part, done)
}

async function realignWhereDue(run: SpeechUnderWay, part: SpeechPart): Promise<void> {
  if (!part.realign) return
  const { world, cluster, corpus, threads, halt } = run
  const parameters = await halt.until(cluster.pull('average'))
  const { alignments: from } = part.configuration
  const { disk } = world.environment
  const request = { parameters, from, into: part.realign, scale: REALIGN_SCALE }
  const realigning = realign({ disk, threads, emit: world.emit }, corpus, request)
  await halt.until(timed(world, 'align', realigning))
}

/** Keeps the averaged parameters of this moment and judges them on development strings. */
async function judgeCandidate(run: SpeechUnderWay, part: SpeechPart, name: string): Promise<void> {
  const { cluster, evaluator, world, halt, looker } = run
  const { yields: model, configuration } = part
  if (!model) return
  const parameters = await halt.until(cluster.pull('average'))
  world.environment.disk.write(modelPath(world.options.out, name), bytesOf(parameters))
  const { alignments } = configuration
  const evaluated = await halt.until(evaluator.tune(parameters, alignments))
  const { setting, errorRate, hypotheses } = evaluated
  world.emit({ type: 'evaluated', model: name, set: 'development', errorRate })
  const sample = looker.evaluated({ model: name, hypotheses })
  world.emit({ type: 'transcripts', model: name, sample })
  const development = { percent: errorRate.percent, ...setting }
  const candidate: Candidate = { name, model, alignments, development }
  const others = run.record.candidates.filter((other) => other.name !== name)
  keep(run, { candidates: [...others, candidate] })
}

function loadModel(run: SpeechUnderWay, model: Candidate['model']): Float32Array {
  const candidate = run.record.candidates.find((kept) => kept.model === model)
  assert(candidate !== undefined, `the plan trains ${model} before it is needed`)
  const { disk } = run.world.environment
  return alignedFloat32(disk.read(modelPath(run.world.options.out, candidate.name)))
}
