import { describe, expect, test } from 'bun:test'
import { histogram, reportTable, verdict } from '../../../actors/cli/report-table.ts'
import type { Report } from '../../../actors/report.ts'

const small: Report = {
  task: 'speech',
  criterion: 'smbr',
  policy: 'downpour',
  seed: 1,
  workers: 2,
  shards: 2,
  utterances: { train: 1_600, development: 300, test: 600 },
  parameters: 36_284,
  seconds: 131.4,
  errorRate: {
    crossEntropy: {
      percent: 10.1358,
      insertions: 7,
      deletions: 78,
      substitutions: 221,
      words: 3_019,
      low: 8.887,
      high: 11.47,
    },
    control: {
      percent: 9.904,
      insertions: 9,
      deletions: 75,
      substitutions: 215,
      words: 3_019,
      low: 8.7,
      high: 11.2,
    },
    final: {
      percent: 8.7777,
      insertions: 19,
      deletions: 51,
      substitutions: 195,
      words: 3_019,
      low: 7.565,
      high: 10.03,
    },
  },
  comparison: {
    crossEntropy: { relativePercent: -13.4, low: -19.3, high: -7.1 },
    control: { relativePercent: -11.37, low: -17.2, high: -5.04 },
  },
  kept: 'sequence',
  updates: { acknowledged: 20_510, applied: 20_510, duplicates: 3, refused: 2 },
  staleness: { p50: 1, p99: 3, max: 4, histogram: [25, 100, 50, 12, 1] },
  restarts: [
    { actor: 'trainer-1', cause: 'killed by SIGKILL', recoveredMs: 412.4 },
    { actor: 'shard-0', cause: 'killed by SIGKILL', recoveredMs: 633 },
  ],
  throughput: { framesPerSecond: 55_266.3 },
  computeShare: 0.874,
  skipped: [{ name: '3_anna_4.wav', reason: 'truncated' }],
  rejectedFrames: 12,
  nonFinite: 0,
  model: 'runs/demo-1/model.onnx',
}

describe('reportTable', () => {
  test('shows all of a small report', () => {
    expect(reportTable(small)).toBe(`
Word errors on the test set     percent   95 % interval    ins    del    sub
  cross-entropy                   10.14    8.89 - 11.47      7     78    221
  control: more cross-entropy      9.90    8.70 - 11.20      9     75    215
  sequence training (smbr)         8.78    7.57 - 10.03     19     51    195
                                of 3019 words

Sequence training WON: 11.4 % relative fewer errors than the control (95 %
interval -17.2 to -5.0 %).

updates      20510 acknowledged, 20510 applied, 3 duplicates, 2 refused
             (each step counts once on each of 2 shards)
staleness    median 1, p99 3, maximum 4
             0 ▃█▅▁▁ 4
restarts     trainer-1: killed by SIGKILL, back after 412 ms
             shard-0: killed by SIGKILL, back after 633 ms
throughput   55266 frames/s, 87 % of trainer time in ONNX Runtime
left out     1 utterances or files
             12 frames without their reference in the lattice
model        runs/demo-1/model.onnx (36284 parameters)
took         131 s
`)
  })

  test('says plainly where sequence training did not help', () => {
    const table = reportTable({ ...small, kept: 'crossEntropy' })
    expect(table).not.toContain('sequence training (smbr)')
    expect(table).toContain('Sequence training did not help on development strings')
  })

  test('leaves out what there was not', () => {
    const { control: _, ...errorRate } = small.errorRate
    const { crossEntropy } = small.comparison
    const table = reportTable({
      ...small,
      criterion: 'ce',
      kept: 'crossEntropy',
      errorRate,
      comparison: { crossEntropy },
      staleness: { p50: 0, p99: 0, max: 0, histogram: [9] },
      restarts: [],
      skipped: [],
      rejectedFrames: 0,
    })
    expect(table).not.toMatch(/control|sequence training \(|left out|undefined|NaN/)
    expect(table).toContain('restarts     none\n')
    expect(table).toContain('staleness    median 0, p99 0, maximum 0\nrestarts')
  })

  test('fits 80 columns however large its numbers and long its causes', () => {
    const table = reportTable({
      ...small,
      updates: { acknowledged: 1e12, applied: 1e12, duplicates: 1e12, refused: 1e12 },
      staleness: { p50: 1, p99: 900, max: 1_000, histogram: new Array<number>(1_001).fill(7) },
      restarts: [
        {
          actor: 'lattices-12',
          cause: 'sequence-trainer crashed: the compute thread ended by an error of the session',
          recoveredMs: 1e7,
        },
      ],
    })
    for (const line of table.split('\n')) expect([...line].length).toBeLessThanOrEqual(80)
  })
})

test('a restart says on which device it died and on which it came back', () => {
  const lost = { actor: 'trainer-1', cause: 'cuda:0 is lost', device: 'cuda:0', recoveredMs: 80 }
  const table = (nextDevice: string) =>
    reportTable({ ...small, restarts: [{ ...lost, nextDevice }] })
  expect(table('cpu')).toContain('trainer-1 on cuda:0: cuda:0 is lost, back after 80 ms on cpu\n')
  expect(table('cuda:0')).toContain('trainer-1 on cuda:0: cuda:0 is lost, back after 80 ms\n')
})

describe('verdict', () => {
  const against = (relativePercent: number, low: number, high: number): string =>
    verdict({ ...small, comparison: { crossEntropy: { relativePercent, low, high } } })

  test('claims a win or a loss only where the paired interval excludes zero', () => {
    expect(against(-9, -12, -0.1)).toStartWith('Sequence training WON: 9.0 % relative fewer')
    expect(against(9, 0.1, 12)).toStartWith('Sequence training LOST: 9.0 % relative more')
    expect(against(-9, -20, 0.1)).toStartWith('No clear winner: 9.0 % relative fewer')
    expect(against(9, -0.1, 20)).toStartWith('No clear winner: 9.0 % relative more')
    expect(against(-9, -20, 0)).toStartWith('No clear winner')
    expect(against(0, 0, 0)).toStartWith('No clear winner: as many errors as cross-entropy')
  })

  test('compares with the better of cross-entropy and its control', () => {
    const { control, crossEntropy } = small.errorRate
    expect(verdict(small)).toContain('than the control')
    const swapped = { ...small.errorRate, control: crossEntropy, crossEntropy: control! }
    expect(verdict({ ...small, errorRate: swapped })).toContain('than cross-entropy')
  })
})

describe('histogram', () => {
  test('is blank only for none, full for the most', () => {
    expect(histogram([0, 1, 400, 800])).toBe(' ▁▅█')
    expect(histogram([])).toBe('')
  })

  test('loses no count when bars are shared', () => {
    const counts = Array.from({ length: 100 }, (_, i) => (i === 99 ? 5 : 0))
    const bars = histogram(counts)
    expect(bars.trim()).toBe('█')
    expect(bars.length).toBeLessThanOrEqual(40)
    expect(bars.endsWith('█')).toBe(true)
  })
})
