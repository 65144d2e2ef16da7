// Each policy is a row of judgements; rounds and compensations are held against obvious arithmetic.
import { expect, test } from 'bun:test'
import {
  admitTrainer,
  applyGradient,
  assembleRound,
  checkPolicy,
  compensateDelay,
  compensateGap,
  isRoundComplete,
  judgePush,
  mayProceed,
  optimizerOf,
  optimizerSpec,
  PolicyError,
  type PushFacts,
  parsePolicy,
  printPolicy,
  type RoundPush,
  trackSteps,
  type Verdict,
} from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'

const whole: Verdict = { verdict: 'apply', scale: 1 }

interface Row {
  readonly policy: string
  readonly facts: Partial<PushFacts>
  readonly expected: Partial<Verdict> & { readonly verdict: Verdict['verdict'] }
}

const table: readonly Row[] = [
  { policy: 'downpour', facts: { staleness: 0 }, expected: whole },
  { policy: 'downpour', facts: { staleness: 1e6 }, expected: whole },
  { policy: 'downpour:3', facts: { staleness: 3 }, expected: whole },
  {
    policy: 'downpour:3',
    facts: { staleness: 4 },
    expected: { verdict: 'refuse', reason: 'staleness 4 is above 3: pull anew' },
  },
  { policy: 'staleness-aware', facts: { staleness: 0 }, expected: whole },
  { policy: 'staleness-aware', facts: { staleness: 1 }, expected: whole },
  {
    policy: 'staleness-aware',
    facts: { staleness: 4 },
    expected: { verdict: 'apply', scale: 1 / 4 },
  },
  { policy: 'ssp:2', facts: { staleness: 9 }, expected: whole },
  { policy: 'hard-sync', facts: { roundSize: 1 }, expected: { verdict: 'complete', scale: 1 } },
  {
    policy: 'hard-sync',
    facts: { roundSize: 3, held: ['b'] },
    expected: { verdict: 'hold', scale: 1 },
  },
  {
    policy: 'hard-sync',
    facts: { roundSize: 3, held: ['b', 'c'] },
    expected: { verdict: 'complete' },
  },
  // A trainer that restarted sends twice: one of the three is still missing.
  { policy: 'hard-sync', facts: { roundSize: 3, held: ['a', 'b'] }, expected: { verdict: 'hold' } },
  {
    policy: 'hard-sync',
    facts: { staleness: 1 },
    expected: { verdict: 'refuse', reason: 'the round of this gradient is over: pull anew' },
  },
  { policy: 'softsync:1', facts: { roundSize: 2 }, expected: { verdict: 'hold', scale: 1 } },
  { policy: 'softsync:1', facts: { roundSize: 2, held: ['a'] }, expected: { verdict: 'complete' } },
  {
    policy: 'softsync:3',
    facts: { roundSize: 7, held: ['a'], staleness: 5 },
    expected: { verdict: 'complete', scale: 1 / 5 },
  },
  { policy: 'softsync:9', facts: { roundSize: 4 }, expected: { verdict: 'complete' } },
  { policy: 'dc-asgd:0.04', facts: { staleness: 0 }, expected: whole },
  {
    policy: 'dc-asgd:0.04',
    facts: { staleness: 1 },
    expected: { verdict: 'compensate', rule: { name: 'delay', lambda: 0.04 } },
  },
  { policy: 'gap-aware', facts: { staleness: 0 }, expected: whole },
  {
    policy: 'gap-aware',
    facts: { staleness: 2 },
    expected: { verdict: 'compensate', rule: { name: 'gap' } },
  },
]

for (const { policy, facts, expected } of table) {
  test(`${policy} given ${JSON.stringify(facts)}: ${expected.verdict}`, () => {
    const push = { trainer: 'a', staleness: 0, held: [], roundSize: 4, ...facts }
    expect(judgePush({ ...push, policy: parsePolicy(policy) })).toMatchObject(expected)
  })
}

const texts = [
  'downpour',
  'downpour:8',
  'staleness-aware',
  'ssp:4',
  'hard-sync',
  'softsync:2',
  'dc-asgd:0.04',
  'gap-aware',
]

test('every policy refuses a push computed with versions the shard does not have yet', () => {
  for (const text of texts) {
    const push = { trainer: 'a', staleness: -2, held: [], roundSize: 1, policy: parsePolicy(text) }
    const reason = 'versions are 2 ahead of this shard: pull anew'
    expect(judgePush(push)).toEqual({ verdict: 'refuse', reason })
  }
})

test('a policy reads and prints as the same text, and survives JSON', () => {
  for (const text of texts) {
    const policy = parsePolicy(text)
    expect(printPolicy(policy)).toBe(text)
    expect(checkPolicy(JSON.parse(JSON.stringify(policy)))).toEqual(policy)
  }
})

const refusals: readonly [string, string][] = [
  ['', "policy: ''; give one of downpour, downpour:STALE_MAX"],
  ['async', 'hard-sync, softsync:N'],
  ['constructor', "policy: 'constructor'; give one of"],
  ['ssp', "policy: 'ssp'; give ssp:BOUND (an integer from 0)"],
  ['ssp:', 'give ssp:BOUND'],
  ['ssp:-1', 'give ssp:BOUND'],
  ['ssp:1.5', 'give ssp:BOUND'],
  ['ssp:4:5', 'give ssp:BOUND'],
  ['softsync:0', 'give softsync:N (an integer from 1)'],
  ['hard-sync:2', "policy: 'hard-sync:2'; give hard-sync"],
  ['downpour:x', 'give downpour, downpour:STALE_MAX (an integer from 0)'],
  ['dc-asgd:0', 'give dc-asgd:LAMBDA (a number above 0)'],
]
for (const [text, message] of refusals) {
  test(`policy '${text}' is refused with what it may be`, () => {
    expect(() => parsePolicy(text)).toThrow(PolicyError)
    expect(() => parsePolicy(text)).toThrow(message)
  })
}

test('a policy that arrives as something else is refused', () => {
  const wrong = [
    undefined,
    null,
    'ssp:4',
    { name: 'ssp', bound: '4' },
    { name: 'ssp', limit: 4 },
    {},
  ]
  for (const value of wrong) expect(() => checkPolicy(value)).toThrow(PolicyError)
})

test('SSP: nobody begins a step more than the bound ahead of the slowest; the slowest always may', () => {
  const random = randomFor('ssp')
  for (const bound of [0, 1, 4]) {
    const policy = { name: 'ssp', bound } as const
    const clocks = new Map(['a', 'b', 'c'].map((trainer) => [trainer, 0]))
    let widest = 0
    for (let step = 0; step < 400; step++) {
      const trainer = ['a', 'b', 'c'][random.below(3)]!
      const own = clocks.get(trainer)!
      const least = Math.min(...clocks.values())
      expect(mayProceed(policy, clocks, trainer)).toBe(own <= least + bound)
      if (mayProceed(policy, clocks, trainer)) clocks.set(trainer, own + 1)
      widest = Math.max(widest, Math.max(...clocks.values()) - Math.min(...clocks.values()))
    }
    expect(widest).toBe(bound + 1)
  }
})

test('SSP: a trainer that died no longer holds the others back, one that joins never does', () => {
  const policy = { name: 'ssp', bound: 1 } as const
  const clocks = new Map([
    ['fast', 7],
    ['slow', 2],
  ])
  expect(mayProceed(policy, clocks, 'fast')).toBe(false)
  clocks.delete('slow')
  expect(mayProceed(policy, clocks, 'fast')).toBe(true)
  const joined = admitTrainer(clocks, 'new')
  expect(joined.get('new')).toBe(7)
  expect(mayProceed(policy, joined, 'fast')).toBe(true)
  expect(clocks.has('new')).toBe(false)
  expect(admitTrainer(new Map(), 'first').get('first')).toBe(0)
})

test('policies other than SSP let every trainer proceed', () => {
  const clocks = new Map([
    ['a', 100],
    ['b', 0],
  ])
  for (const text of texts.filter((name) => !name.startsWith('ssp'))) {
    expect(mayProceed(parsePolicy(text), clocks, 'a')).toBe(true)
  }
})

test('a round completes when a trainer dies and the round shrinks, and never without a push', () => {
  const policy = parsePolicy('hard-sync')
  expect(isRoundComplete(policy, ['a', 'b'], 3)).toBe(false)
  expect(isRoundComplete(policy, ['a', 'b'], 2)).toBe(true)
  expect(isRoundComplete(policy, [], 0)).toBe(false)
  expect(isRoundComplete(parsePolicy('downpour'), ['a', 'b'], 2)).toBe(false)
})

test('a round gives the same bits in whatever order its pushes arrive', () => {
  const pushes = roundOf(5)
  const expected = assembleRound(pushes)
  expect(assembleRound([...pushes].reverse())).toEqual(expected)
  expect(assembleRound([3, 0, 4, 1, 2].map((index) => pushes[index]!))).toEqual(expected)
})

test('a softsync round moves SGD as the mean of its scaled gradients', () => {
  const pushes = roundOf(4).map((push, index) => ({ ...push, scale: 1 / (index + 1) }))
  const { gradient, scale } = assembleRound(pushes)
  const weights = pushes.reduce((sum, { weight }) => sum + weight, 0)
  gradient.forEach((value, i) => {
    let mean = 0
    for (const push of pushes) mean += (push.weight * push.scale * push.gradient[i]!) / weights
    expect(value * scale).toBeCloseTo(mean, 5)
  })
})

test('hard sync equals one process with the joined minibatch', () => {
  // Least squares on uneven parts of one minibatch: each trainer pushes the mean over its own rows.
  const random = randomFor('least squares')
  const rows = Array.from({ length: 30 }, () => Array.from({ length: 6 }, random.normal))
  const parts = [rows.slice(0, 4), rows.slice(4, 19), rows.slice(19)]
  const optimizer = () => optimizerOf(optimizerSpec('momentum', { rate: 0.05 }))
  const [joined, split] = [optimizer(), optimizer()]
  const [joinedState, splitState] = [joined.init(5), split.init(5)]
  const [joinedParameters, splitParameters] = [new Float32Array(5), new Float32Array(5)]
  for (let update = 0; update < 60; update++) {
    const pushes = parts.map((part, index): RoundPush => {
      const gradient = leastSquares(part, splitParameters)
      return { trainer: `t${index}`, sequence: update, weight: part.length, scale: 1, gradient }
    })
    const round = assembleRound(pushes)
    const ofRound = { update, rateScale: round.scale, parameters: splitParameters }
    applyGradient(split, splitState, round.gradient, ofRound)
    const ofAll = { update, rateScale: 1, parameters: joinedParameters }
    applyGradient(joined, joinedState, leastSquares(rows, joinedParameters), ofAll)
  }
  expect(Math.abs(joinedParameters[0]!)).toBeGreaterThan(0.01)
  for (const [i, value] of splitParameters.entries()) {
    expect(value).toBeCloseTo(joinedParameters[i]!, 5)
  }
})

test('delay compensation is exact where the Hessian is lambda g g', () => {
  // f(w) = -ln(w) / lambda has gradient g = -1 / (lambda w) and second derivative lambda g g.
  const lambda = 0.5
  const gradientAt = (w: number) => -1 / (lambda * w)
  const errors = [0.1, 0.01].map((distance) => {
    const parameters = Float32Array.of(2 + distance)
    const gradient = Float32Array.of(gradientAt(2))
    compensateDelay({ gradient, parameters, seen: Float32Array.of(2) }, lambda)
    return Math.abs(gradient[0]! - gradientAt(2 + distance))
  })
  expect(errors[0]).toBeLessThan(0.003) // Uncompensated: 0.048.
  expect(errors[1]).toBeLessThan(errors[0]! / 50) // Second order in the distance.
})

test('the gap penalty halves a gradient whose parameter moved one usual step, and spares the rest', () => {
  const stepSquares = new Float32Array(3)
  for (let update = 0; update < 2000; update++)
    trackSteps(stepSquares, Float32Array.of(0.1, 0.1, 0), 0.99)
  const gradient = Float32Array.of(6, 6, 6)
  const parameters = Float32Array.of(1.1, 1, 1)
  compensateGap({ gradient, parameters, seen: Float32Array.of(1, 1, 1) }, stepSquares)
  expect(gradient[0]).toBeCloseTo(3, 4)
  expect([gradient[1], gradient[2]]).toEqual([6, 6])
})

function roundOf(count: number): RoundPush[] {
  const random = randomFor('round', count)
  return Array.from({ length: count }, (_, index) => ({
    trainer: `trainer-${index % 3}`,
    sequence: index,
    weight: 1 + random.below(500),
    scale: 1,
    gradient: Float32Array.from({ length: 64 }, random.normal),
  }))
}

/** Mean gradient of (x w - y)^2 / 2 over rows [...x, y]. */
function leastSquares(
  rows: readonly (readonly number[])[],
  parameters: Float32Array,
): Float32Array {
  const sum = new Array<number>(parameters.length).fill(0)
  for (const row of rows) {
    let error = -row[parameters.length]!
    for (const [i, value] of parameters.entries()) error += value * row[i]!
    for (let i = 0; i < sum.length; i++) sum[i]! += error * row[i]!
  }
  return Float32Array.from(sum, (value) => value / rows.length)
}
