// Error rates of a model: decoding scale and word bonus are tuned on development strings, for every
// model alike; the test set is decoded once with what was found.
import {
  type ErrorCounts,
  type ErrorRate,
  errorRate,
  errorsOf,
} from '../../models/sequence/error-rate.ts'
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import type { ComputeThread } from '../../runtime/environment.ts'
import { inParts } from '../part-work.ts'
import { insightLimits } from '../insight.ts'
import type { DecodeRequest, DecodingSetting, HeardTable } from './decoding.ts'
import { words } from './graph.ts'
import type { PreparedCorpus } from './prepare.ts'
import type { SetName, SpeechTask } from './task.ts'

export interface Evaluation {
  readonly setting: DecodingSetting
  readonly errorRate: ErrorRate
  readonly utterances: readonly ErrorCounts[]
  /** Of development strings, the first ones: what was heard, in the order of the store. */
  readonly hypotheses: readonly (readonly string[])[]
}

export interface Evaluator {
  /** The setting with the fewest errors on development strings. */
  tune(parameters: Float32Array, alignments: string): Promise<Evaluation>
  test(
    parameters: Float32Array,
    alignments: string,
    setting: DecodingSetting,
    /** Called with how many more utterances are decoded. */
    onDone: (utterances: number) => void,
  ): Promise<Evaluation>
}

const SCALES = [0.3, 0.5]
const BONUSES = [-24, -20, -16, -12, -9, -6, -3, 0]
export const decodingGrid: readonly DecodingSetting[] = SCALES.flatMap((scale) =>
  BONUSES.map((bonus) => ({ scale, bonus })),
)

const PART_UTTERANCES = 24

export async function speechEvaluator(options: {
  readonly threads: readonly ComputeThread[]
  readonly task: SpeechTask
  readonly corpus: PreparedCorpus
}): Promise<Evaluator> {
  const { threads, task, corpus } = options
  await Promise.all(threads.map((thread) => thread.call('openDecoding', task)))

  async function decode(
    set: SetName,
    request: Omit<DecodeRequest, 'set' | 'from' | 'to' | 'wordsBelow'>,
    onDone: (utterances: number) => void = () => {},
  ): Promise<HeardTable> {
    const table: HeardTable[number][] = []
    const wordsBelow = set === 'development' ? insightLimits.utterancesMax : 0
    await inParts<HeardTable>(threads, {
      total: corpus.sizes[set],
      partSize: PART_UTTERANCES,
      work: (thread, part) => thread.call('decode', { set, wordsBelow, ...part, ...request }),
      take(rows, { from, to }) {
        table.push(...rows)
        onDone(to - from)
      },
    })
    return table
  }

  function evaluate(table: HeardTable, column: number, setting: DecodingSetting): Evaluation {
    const heard = table.map((row) => {
      const one = row[column]
      assert(one !== undefined, 'a column per setting')
      return one
    })
    const utterances = heard.map(({ errors }) => errors)
    const hypotheses = heard.flatMap(({ words: numbers }) =>
      numbers ? [numbers.map((number) => words[number] ?? '')] : [],
    )
    const rate = errorRate(utterances, randomFor('bootstrap'))
    return { setting, utterances, hypotheses, errorRate: rate }
  }

  return {
    async tune(parameters, alignments) {
      const table = await decode('development', { parameters, alignments, settings: decodingGrid })
      const errors = decodingGrid.map((_, column) =>
        table.reduce((sum, row) => sum + (row[column] ? errorsOf(row[column].errors) : 0), 0),
      )
      const column = errors.indexOf(Math.min(...errors))
      const setting = decodingGrid[column]
      assert(setting !== undefined, 'the grid has settings')
      return evaluate(table, column, setting)
    },
    async test(parameters, alignments, setting, onDone) {
      const request = { parameters, alignments, settings: [setting] }
      const table = await decode('test', request, onDone)
      return evaluate(table, 0, setting)
    },
  }
}
