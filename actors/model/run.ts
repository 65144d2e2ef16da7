// Fine-tuning of an .onnx file that somebody else made: its trainable tensors go to the shards, trainers
// push gradients of its loss, and the file is written again with what they learnt.
import { accuracyOf, addHits, type Hits } from '../../models/images/accuracy.ts'
import type { Graph } from '../../models/graph.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { optimizerSpec, parsePolicy } from '../../models/optimizers/index.ts'
import { viewsOf } from '../../models/parameters.ts'
import type { ComputeThread, Disk } from '../../runtime/environment.ts'
import { type PreparedImages, prepareImages } from '../image/prepare.ts'
import { inParts } from '../part-work.ts'
import { scheduleOf } from '../image/plan.ts'
import type { ModelReport } from '../report.ts'
import { type Life, openLife, type RunHandle, startRun } from '../run/life.ts'
import { OptionError } from '../run/options.ts'
import { keepFinished, type TrainingPart, trainPart } from '../run/part.ts'
import { startProcesses } from '../run/processes.ts'
import { emptyRecord, openRecord, type RunRecord } from '../run/record.ts'
import { describeStaleness, sumUpdates } from '../run/report.ts'
import { keep, type RunWorld, timed, type UnderWay } from '../run/world.ts'
import type { RowsJudged } from './compute.ts'
import { type Examples, ExamplesError, openExamples, splitRows } from './examples.ts'
import type { CompleteModelOptions } from './options.ts'
import { initialOf, type ModelTask, openTunedModel, readModel, type TunedModel } from './task.ts'

export type ModelWorld = RunWorld<CompleteModelOptions>
type ModelRecord = RunRecord<CompleteModelOptions>

export function startModelRun(world: ModelWorld): RunHandle<ModelReport> {
  return startRun(world, (life) => runModel(world, life))
}

async function runModel(world: ModelWorld, life: Life): Promise<ModelReport> {
  const { environment, options, emit } = world
  const { disk, clock } = environment
  const { halt } = life
  const begun = clock.now()
  const opened = await openLife(world, life, () =>
    openRecord<ModelRecord>(disk, emptyRecord(options), {
      folders: ['examples'],
      free: ['threads'],
    }),
  )
  const { record, threads } = opened
  const model = readModel(disk, options.model)
  const path = await halt.until(examplesOf(world, model))
  const examples = openExamples(disk, path, { image: model.inputs[0]?.name ?? '' })
  const task = taskOf(options, { model, examples, path })
  const tuned = openTunedModel(disk, task)
  checkRows(tuned.model, examples)
  const rows = splitRows(examples.count, options.seed)
  const part = planOf(options, { rows: rows.train.length, batch: task.batch })
  const judge = await halt.until(
    judgeOf(threads, { task, rows: rows.test.length, isFixed: hasFixedBatch(model) }),
  )
  const cluster = startProcesses(world, life, {
    opened,
    layout: tuned.layout,
    trainerKind: 'model-trainer',
    task,
    onFinished: (step) => run.onStep(step),
  })
  const run: UnderWay<ModelRecord> = {
    world,
    cluster,
    threads,
    halt,
    examplesPlanned: part.start.steps * task.batch,
    begun,
    secondsBefore: record.seconds,
    record,
    onStep: () => {},
  }
  life.underWay = run
  keep(run)
  const initial = initialOf(tuned)
  const before = await halt.until(judge(initial))
  if (!run.record.finished.includes(part.name)) {
    keepFinished(run, part, await trainPart(run, part, { parameters: initial }))
  }
  const values = await halt.until(cluster.pull('average'))
  emit({ type: 'phase', phase: 'evaluate', total: rows.test.length, unit: 'rows' })
  const after = await timed(world, 'evaluate', halt.until(judge(values)))
  const statuses = await halt.until(cluster.statuses())
  keep(run)
  const { tally, seconds, restarts, acknowledgedSteps, skipped } = run.record
  return {
    task: 'model',
    tuned: options.model,
    rows: { train: rows.train.length, test: rows.test.length },
    policy: options.policy,
    seed: options.seed,
    workers: options.workers,
    shards: options.shards,
    parameters: tuned.layout.count,
    trained: tuned.trainable.map(({ name }) => name),
    seconds,
    loss: { name: task.tuning.loss, before: before.loss, after: after.loss },
    ...(before.accuracy &&
      after.accuracy && { accuracy: { before: before.accuracy, after: after.accuracy } }),
    updates: sumUpdates(statuses, acknowledgedSteps),
    staleness: describeStaleness(statuses),
    restarts,
    throughput: { rowsPerSecond: tally.examples / Math.max(1e-9, tally.seconds) },
    computeShare: tally.computeMs / Math.max(1e-9, tally.trainerMs),
    skipped,
    nonFinite: tally.nonFinite,
    model: writeTuned(disk, options.out, { tuned, values }),
  }
}

/** A folder of images becomes a store of the size that the model takes. */
async function examplesOf(world: ModelWorld, model: Graph): Promise<string> {
  const { environment, options, emit } = world
  const { disk } = environment
  const { data, out, seed } = options
  if (data.endsWith('.safetensors')) return data
  const [input] = model.inputs
  const [, channels, height, width] = input?.shape ?? []
  if (channels !== 3 || typeof height !== 'number' || height !== width) {
    const shape = input?.shape.join(' x ')
    throw new ExamplesError(
      `${options.model} takes ${input?.name} of ${shape}, no square images: give a .safetensors file`,
    )
  }
  const folder = `${out}/examples`
  const preparing: Promise<PreparedImages> = prepareImages({
    disk,
    emit,
    folder,
    data,
    size: height,
    seed,
  })
  return (await timed(world, 'prepare', preparing)).train
}

function taskOf(
  options: CompleteModelOptions,
  {
    model,
    examples,
    path,
  }: { readonly model: Graph; readonly examples: Examples; readonly path: string },
): ModelTask {
  const { loss: wanted, output, replaceHead, seed, threads } = options
  const loss = wanted ?? (examples.classes === undefined ? 'mean-squared-error' : 'cross-entropy')
  const [batch] = model.inputs[0]?.shape ?? []
  const { classes } = examples
  if (replaceHead && classes === undefined) {
    throw new OptionError('replaceHead: the targets are no classes; leave it out')
  }
  return {
    model: options.model,
    examples: path,
    tuning: {
      loss,
      ...(output !== undefined && { output }),
      ...(replaceHead && classes !== undefined && { replaceHead: { classes } }),
    },
    seed,
    batch: typeof batch === 'number' ? batch : options.batch,
    threads,
  }
}

const hasFixedBatch = ({ inputs: [input] }: Graph): boolean => typeof input?.shape[0] === 'number'

/** Before anything runs: the data has every input, and each of its rows is as large as the model takes. */
function checkRows(model: Graph, { rows }: Examples): void {
  for (const { name, shape } of model.inputs) {
    const row = rows.get(name)
    if (!row) throw new ExamplesError(`the data has no tensor named ${name}, which the model takes`)
    const wanted = shape.slice(1)
    const fits =
      row.length === wanted.length &&
      wanted.every((extent, axis) => typeof extent === 'string' || extent === row[axis])
    if (!fits) {
      throw new ExamplesError(
        `${name}: rows of ${row.join(' x ')}, and the model takes ${wanted.join(' x ')}`,
      )
    }
  }
}

function planOf(
  options: CompleteModelOptions,
  { rows, batch }: { readonly rows: number; readonly batch: number },
): TrainingPart {
  const { epochs, averageDecay, weightDecay } = options
  const stepsPerEpoch = Math.max(1, Math.ceil(rows / batch))
  const steps = stepsPerEpoch * epochs
  const policy = parsePolicy(options.policy)
  const schedule = scheduleOf(options, { steps, stepsPerEpoch })
  return {
    name: 'fine-tuning',
    shown: 'fine-tuning',
    examples: 'rows',
    kind: 'images',
    trainers: options.workers,
    lanes: policy.name === 'hard-sync' || policy.name === 'ssp' ? 1 : 2,
    stepsPerEpoch,
    start: {
      phase: 1,
      steps,
      policy,
      optimizer: optimizerSpec(options.optimizer, { schedule, weightDecay }),
      average: { name: 'ramped', decay: averageDecay },
    },
    configuration: {},
  }
}

interface Judged {
  readonly loss: number
  readonly accuracy?: ReturnType<typeof accuracyOf>
}

async function judgeOf(
  threads: readonly ComputeThread[],
  {
    task,
    rows,
    isFixed,
  }: { readonly task: ModelTask; readonly rows: number; readonly isFixed: boolean },
): Promise<(values: Float32Array) => Promise<Judged>> {
  await Promise.all(threads.map((thread) => thread.call('openEvaluation', task)))
  return async (values) => {
    const parameters = new Float32Array(new SharedArrayBuffer(values.byteLength))
    parameters.set(values)
    const all: RowsJudged[] = []
    await inParts<RowsJudged>(threads, {
      // A model of a fixed batch takes no less: what does not fill it is left out.
      total: isFixed ? rows - (rows % task.batch) : rows,
      partSize: task.batch,
      work: (thread, part) => thread.call('evaluate', { parameters, ...part }),
      take: (part) => void all.push(part),
    })
    const counted = all.reduce((sum, part) => sum + part.rows, 0)
    if (counted === 0)
      throw new ExamplesError(`${rows} rows held out do not fill a batch of ${task.batch}`)
    const hits = all.flatMap((part): Hits[] => (part.hits ? [part.hits] : []))
    const loss = all.reduce((sum, part) => sum + part.loss, 0) / counted
    return { loss, ...(hits.length > 0 && { accuracy: accuracyOf(addHits(hits)) }) }
  }
}

/** The file as it was, with other numbers in its trained tensors. */
function writeTuned(
  disk: Disk,
  out: string,
  { tuned, values }: { readonly tuned: TunedModel; readonly values: Float32Array },
): string {
  const { model, layout } = tuned
  const initializers = new Map([...model.initializers, ...Object.entries(viewsOf(layout, values))])
  const path = `${out}/model.onnx`
  disk.write(path, encodeOnnx({ ...model, initializers }))
  return path
}
