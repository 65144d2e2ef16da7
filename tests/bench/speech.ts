// Whole runs on recordings: what a second trainer adds, how much of a trainer is ONNX Runtime, how fast
// the dead come back, and what the criteria gain.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, type SpeechOptions, type SpeechReport, speech } from '../../actors/index.ts'
import type { SpeechRecord } from '../../actors/speech/run-record.ts'
import { type ErrorCounts, errorsOf, pairedBootstrap } from '../../models/sequence/error-rate.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Bench, type BenchOptions, median, type Row, row } from './rows.ts'

interface Measured {
  readonly report: SpeechReport
  /** Frames a second of each phase, as its last progress said. */
  readonly framesPerSecond: Readonly<Record<string, number>>
}

async function measure(options: SpeechOptions): Promise<Measured> {
  const framesPerSecond: Record<string, number> = {}
  await using run = await launch({ task: speech(options) })
  run.done.catch(() => {})
  for await (const event of run.events()) {
    if (event.type === 'progress' && event.examplesPerSecond !== undefined) {
      framesPerSecond[event.phase] = event.examplesPerSecond
    }
  }
  return { report: await run.done, framesPerSecond }
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-bench-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function recordings({ data }: BenchOptions): string {
  if (data) return data
  throw new Error('this benchmark needs recordings: give --data DIR or set TROUPE_SHARED')
}

/**
 * Sequence training by one trainer and by two, in turn, on the same corpus from the same model. Few
 * development strings: judging epochs is another job, and on two cores it would take the trainers' time.
 * One shard: 36,284 parameters need no second process, and it would take its time from the trainers too.
 */
export const scalingBench: Bench = async (options) =>
  await inFolder(async (folder) => {
    const data = recordings(options)
    const common = {
      data,
      shards: 1,
      strings: [4_800, 20, 1_200],
      crossEntropyEpochs: 3,
    } as const
    await measure({ ...common, out: `${folder}/base`, criterion: 'ce' })
    const runs: { one: Measured; two: Measured }[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const trained = async (workers: number): Promise<Measured> =>
        await measure({
          ...common,
          epochs: 3,
          out: `${folder}/${workers}-${round}`,
          workers,
          from: `${folder}/base`,
        })
      runs.push({ one: await trained(1), two: await trained(2) })
    }
    const rate = ({ framesPerSecond }: Measured) => framesPerSecond.sequence ?? 0
    // Error rates need development strings that can tell epochs apart.
    const judged = { ...common, strings: [4_800, 600, 1_200], epochs: 3 } as const
    const one = await measure({ ...judged, out: `${folder}/judged-1`, workers: 1 })
    const from = `${folder}/judged-1`
    const two = await measure({ ...judged, out: `${folder}/judged-2`, workers: 2, from })
    const errors = ({ report }: Measured) => report.errorRate.final.percent
    return [
      row('sequence training, 1 trainer', median(runs.map(({ one }) => rate(one))), 'frames/s'),
      row('sequence training, 2 trainers', median(runs.map(({ two }) => rate(two))), 'frames/s'),
      row('2 trainers to 1', median(runs.map(({ one, two }) => rate(two) / rate(one))), 'x', 1.7),
      row('error rate, 1 trainer', errors(one), '%'),
      row('error rate, 2 trainers', errors(two), '%', errors(one)),
    ]
  })

const ROUNDS = 3

/** A network of five million parameters, in cross-entropy. */
const large = {
  criterion: 'ce',
  strings: [300, 20, 20],
  hidden: [1_230, 1_230, 1_230, 1_230],
  crossEntropyEpochs: 3,
} as const satisfies Partial<SpeechOptions>

/** How much of a trainer's wall time is ONNX Runtime's, for two sizes of minibatch. */
export const computeShareBench: Bench = async (options) =>
  await inFolder(async (folder) => {
    const rows: Row[] = []
    for (const batchFrames of [256, 1_024]) {
      const out = `${folder}/${batchFrames}`
      const data = recordings(options)
      const { report } = await measure({ ...large, data, out, workers: 1, batchFrames })
      const name = `${(report.parameters / 1e6).toFixed(1)} M parameters, ${batchFrames} frames a step`
      rows.push(
        row(`${name}: inside ONNX Runtime`, 100 * report.computeShare, '%', 85),
        row(`${name}: throughput`, report.throughput.framesPerSecond, 'frames/s'),
      )
    }
    return rows
  })

/** SIGKILL to useful again: a trainer's next accepted push, a shard's restored state. */
export const recoveryBench: Bench = async (options) =>
  await inFolder(async (folder) => {
    const data = recordings(options)
    const small = await measure({
      data,
      out: `${folder}/small`,
      strings: [1_200, 50, 50],
      crossEntropyEpochs: 4,
      epochs: 2,
      chaos:
        'kill:trainer-0@30%,kill:shard-0@40%,kill:trainer-1@50%,kill:shard-1@60%,kill:trainer-0@70%,kill:shard-0@80%',
    })
    const big = await measure({
      ...large,
      data,
      out: `${folder}/large`,
      batchFrames: 1_024,
      chaos: 'kill:trainer-0@40%,kill:shard-0@55%,kill:shard-1@70%,kill:trainer-1@80%',
    })
    return [...recoveryRows('36 k', small.report), ...recoveryRows('5.2 M', big.report)]
  })

function recoveryRows(size: string, { restarts, updates }: SpeechReport): Row[] {
  const rowsOf = (role: string, what: string, anchor: number): Row[] => {
    const times = restarts.flatMap(({ actor, recoveredMs }) =>
      actor.startsWith(role) && recoveredMs !== null ? [recoveredMs] : [],
    )
    const name = `${size} parameters, ${role}: SIGKILL to ${what}`
    return [
      row(`${name}, median`, median(times), 'ms', anchor),
      row(`${name}, slowest`, Math.max(...times), 'ms', anchor),
    ]
  }
  return [
    ...rowsOf('trainer', 'accepted push', 500),
    ...rowsOf('shard', 'restored', 1_000),
    row(`${size} parameters: updates lost`, updates.acknowledged - updates.applied, ''),
  ]
}

const CRITERIA = ['bmmi', 'mwe', 'mmi', 'mpfe', 'smbr'] as const

/** Every criterion over the seeds, each from the same cross-entropy model and against its control. */
export const criteriaBench: Bench = async (options) =>
  await inFolder(async (folder) => {
    const data = recordings(options)
    const pooled = new Map<string, { before: ErrorCounts[]; after: ErrorCounts[] }>()
    const percents = new Map<string, number[]>()
    const note = (name: string, percent: number) =>
      percents.set(name, [...(percents.get(name) ?? []), percent])
    for (const seed of options.seeds) {
      const base = `${folder}/${seed}`
      for (const criterion of CRITERIA) {
        const out = `${base}-${criterion}`
        const from = criterion === CRITERIA[0] ? {} : { from: `${base}-${CRITERIA[0]}` }
        const { report } = await measure({ data, seed, criterion, control: true, out, ...from })
        const { crossEntropy, control, final } = report.errorRate
        if (criterion === CRITERIA[0]) {
          note('cross-entropy', crossEntropy.percent)
          note('control', control?.percent ?? Number.NaN)
        }
        note(criterion, final.percent)
        console.log(`seed ${seed} ${criterion}: ${final.percent.toFixed(2)} % on test strings`)
        const useControl = (control?.percent ?? Number.POSITIVE_INFINITY) < crossEntropy.percent
        const errors = testErrors(out)
        const pool = pooled.get(criterion) ?? { before: [], after: [] }
        pool.before.push(...(errors[useControl ? 'control' : 'crossEntropy'] ?? []))
        pool.after.push(...(errors.final ?? []))
        pooled.set(criterion, pool)
      }
    }
    return [...criteriaRows(percents), ...pooledRows(pooled)]
  })

/** What each criterion is tuned over; the least error rate on development strings goes into the recipe. */
const tuningGrid: Readonly<Record<(typeof CRITERIA)[number], readonly Partial<SpeechOptions>[]>> = {
  bmmi: product([5e-4, 1e-3, 2e-3], 'boost', [0.3, 0.6, 1.2]),
  mmi: product([5e-4, 1e-3, 2e-3], 'smoothing', [0.03, 0.1]),
  mwe: product([5e-4, 1e-3, 2e-3], 'smoothing', [0.03, 0.1]),
  mpfe: product([5e-4, 1e-3, 2e-3], 'smoothing', [0.03, 0.1]),
  smbr: product([5e-4, 1e-3, 2e-3], 'smoothing', [0.03, 0.1]),
}

function product(
  rates: readonly number[],
  name: 'boost' | 'smoothing',
  values: readonly number[],
): Partial<SpeechOptions>[] {
  return rates.flatMap((learningRate) => values.map((value) => ({ learningRate, [name]: value })))
}

/** Development error rates of every setting, one seed: no test string is looked at. */
export const tuningBench: Bench = async (options) =>
  await inFolder(async (folder) => {
    const data = recordings(options)
    const seed = options.seeds[0] ?? 1
    const common = { data, seed, strings: [4_800, 600, 1], epochs: 2 } as const
    const base = `${folder}/base`
    await measure({ ...common, criterion: 'ce', out: base })
    const rows: Row[] = []
    for (const criterion of CRITERIA) {
      for (const [index, setting] of tuningGrid[criterion].entries()) {
        const out = `${folder}/${criterion}-${index}`
        await measure({ ...common, ...setting, criterion, out, from: base })
        const name = Object.entries({ criterion, ...setting })
          .flat()
          .join(' ')
        const made = row(`${name}: development`, developmentPercent(out), '%')
        console.log(`${made.name} ${made.value.toFixed(2)} %`)
        rows.push(made)
      }
    }
    return rows
  })

function developmentPercent(out: string): number {
  const { candidates } = JSON.parse(readFileSync(`${out}/run.json`, 'utf8')) as SpeechRecord
  const percents = candidates
    .filter(({ model }) => model === 'sequence')
    .map(({ development }) => development.percent)
  return Math.min(...percents)
}

function criteriaRows(percents: ReadonlyMap<string, readonly number[]>): Row[] {
  const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
  return [...percents].map(([name, values]) => row(`${name}: mean error rate`, mean(values), '%'))
}

function pooledRows(
  pooled: ReadonlyMap<string, { before: ErrorCounts[]; after: ErrorCounts[] }>,
): Row[] {
  return [...pooled].flatMap(([name, { before, after }]) => {
    const { relativePercent, low, high } = pairedBootstrap(before, after, randomFor('pooled'))
    const errors = (counts: readonly ErrorCounts[]) =>
      counts.reduce((sum, c) => sum + errorsOf(c), 0)
    return [
      row(`${name}: against the better of CE and control`, relativePercent, '% relative'),
      row(`${name}: 95 % interval from`, low, '% relative'),
      row(`${name}: 95 % interval to`, high, '% relative'),
      row(`${name}: errors, pooled`, errors(after), '', errors(before)),
    ]
  })
}

function testErrors(out: string): Readonly<Record<string, ErrorCounts[] | undefined>> {
  const rows = JSON.parse(readFileSync(`${out}/test-errors.json`, 'utf8')) as Record<
    string,
    [number, number, number, number][]
  >
  return Object.fromEntries(
    Object.entries(rows).map(([name, utterances]) => [
      name,
      utterances.map(([insertions, deletions, substitutions, words]) => ({
        insertions,
        deletions,
        substitutions,
        words,
      })),
    ]),
  )
}
