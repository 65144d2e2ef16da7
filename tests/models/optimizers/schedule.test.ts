// Learning rates by update number, and the averaged copy that evaluation reads.
import { expect, test } from 'bun:test'
import {
  averageWeight,
  follow,
  OptimizerError,
  parseAverage,
  parseSchedule,
  printSchedule,
  rateAt,
  type Schedule,
} from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'

const pieces = [
  { untilUpdate: 10, rate: 1 },
  { untilUpdate: 20, rate: 0.5 },
  { untilUpdate: 30, rate: 0.25 },
]
const exponential = { name: 'exponential', rate: 0.045, decay: 0.94, everyUpdates: 100 } as const
const cosine = {
  name: 'cosine',
  rate: 0.2,
  warmupUpdates: 4,
  totalUpdates: 14,
  finalRate: 0.1,
} as const

const table: readonly { schedule: Schedule; print: string; rates: readonly [number, number][] }[] =
  [
    {
      schedule: { name: 'constant', rate: 0.3 },
      print: 'constant 0.3',
      rates: [
        [0, 0.3],
        [1e9, 0.3],
      ],
    },
    {
      schedule: { name: 'piecewise', pieces },
      print: 'piecewise 1 until 10, 0.5 until 20, 0.25 until 30',
      rates: [
        [0, 1],
        [9, 1],
        [10, 0.5],
        [19, 0.5],
        [20, 0.25],
        [1000, 0.25],
      ],
    },
    {
      schedule: { ...exponential, staircase: true },
      print: 'exponential 0.045 x 0.94 every 100, in steps',
      rates: [
        [0, 0.045],
        [99, 0.045],
        [100, 0.045 * 0.94],
        [250, 0.045 * 0.94 * 0.94],
      ],
    },
    {
      schedule: { ...exponential, staircase: false },
      print: 'exponential 0.045 x 0.94 every 100',
      rates: [
        [0, 0.045],
        [50, 0.045 * Math.sqrt(0.94)],
        [100, 0.045 * 0.94],
      ],
    },
    {
      schedule: cosine,
      print: 'cosine 0.2 to 0.1 over 14 updates, warm-up 4',
      rates: [
        [0, 0.05],
        [3, 0.2],
        [4, 0.2],
        [9, 0.15],
        [14, 0.1],
        [99, 0.1],
      ],
    },
    {
      schedule: { ...cosine, name: 'linear' },
      print: 'linear 0.2 to 0.1 over 14 updates, warm-up 4',
      rates: [
        [0, 0.05],
        [3, 0.2],
        [4, 0.2],
        [9, 0.15],
        [12, 0.12],
        [14, 0.1],
        [99, 0.1],
      ],
    },
  ]

for (const { schedule, print, rates } of table) {
  test(`schedule: ${print}`, () => {
    for (const [update, rate] of rates) expect(rateAt(schedule, update)).toBeCloseTo(rate, 12)
    expect(printSchedule(schedule)).toBe(print)
    expect(parseSchedule(JSON.parse(JSON.stringify(schedule)))).toEqual(schedule)
  })
}

test('pieces out of order are refused by name', () => {
  const swapped = { name: 'piecewise', pieces: [pieces[1], pieces[0]] }
  expect(() => parseSchedule(swapped)).toThrow(OptimizerError)
  expect(() => parseSchedule(swapped)).toThrow('piecewise.pieces[1].untilUpdate: 10; give 21 to')
})

test('a debiased exponential average equals the weighted mean of all parameters so far', () => {
  const decay = 0.9
  const history = walk(12)
  const average = new Float32Array(5).fill(99) // Whatever it held before must not matter.
  history.forEach((parameters, update) => {
    follow(average, parameters, averageWeight({ name: 'exponential', decay, debias: true }, update))
    const weights = history.slice(0, update + 1).map((_, index) => decay ** (update - index))
    expectMean(average, history, weights)
  })
})

test('an exponential average without debias forgets its start by its decay', () => {
  const average = Float32Array.of(8)
  const rule = { name: 'exponential', decay: 0.5, debias: false } as const
  for (let update = 0; update < 3; update++) {
    follow(average, Float32Array.of(0), averageWeight(rule, update))
  }
  expect(average[0]).toBe(1)
})

test('a ramped average follows closely at first, and by its decay in the end', () => {
  const rule = { name: 'ramped', decay: 0.99 } as const
  const weights = [0, 1, 90, 890, 10_000].map((update) => averageWeight(rule, update))
  const expected = [9 / 10, 9 / 11, 9 / 100, 1 / 100, 1 / 100]
  weights.forEach((weight, index) => {
    expect(weight).toBeCloseTo(expected[index]!, 12)
  })
})

test('averages cross the wire, and a wrong one is refused by name', () => {
  for (const average of [
    { name: 'ramped', decay: 0.99 },
    { name: 'exponential', decay: 0.9, debias: true },
    { name: 'polyak', fromUpdate: 3 },
  ]) {
    expect(parseAverage(JSON.parse(JSON.stringify(average)))).toEqual(average as never)
  }
  expect(() => parseAverage({ name: 'ramped', decay: 1 })).toThrow('ramped.decay: 1; give 0 to')
  expect(() => parseAverage({ name: 'ema' })).toThrow('average: "ema"; give exponential')
})

test('decay 0 copies the live parameters to the bit', () => {
  const average = Float32Array.of(1e30, 3)
  const parameters = Float32Array.of(1e-30, 0.1)
  for (const debias of [true, false]) {
    follow(average, parameters, averageWeight({ name: 'exponential', decay: 0, debias }, 7))
    expect(average).toEqual(parameters)
  }
})

test('the Polyak average is the mean since its first update, the live parameters before it', () => {
  const history = walk(10)
  const average = new Float32Array(5)
  history.forEach((parameters, update) => {
    follow(average, parameters, averageWeight({ name: 'polyak', fromUpdate: 4 }, update))
    const weights = history.map((_, index) =>
      index >= Math.min(4, update) && index <= update ? 1 : 0,
    )
    expectMean(average, history, weights)
  })
})

function walk(updates: number): Float32Array[] {
  const random = randomFor('walk')
  return Array.from({ length: updates }, () => Float32Array.from({ length: 5 }, random.normal))
}

function expectMean(
  actual: Float32Array,
  history: readonly Float32Array[],
  weights: readonly number[],
): void {
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  actual.forEach((value, index) => {
    let mean = 0
    for (const [row, weight] of weights.entries()) mean += (weight * history[row]![index]!) / total
    expect(value).toBeCloseTo(mean, 5)
  })
}
