// The benchmarks at a size that shows that they still run; what they measure means nothing here.
import { expect, test } from 'bun:test'
import { measureActors, smokeSizes } from './actors.ts'
import { measureControl, smokeSizes as shortWatch } from './control.ts'
import { erlangRound, hasErlang } from './peers/erlang.ts'
import { measureImages, smokeSizes as fewImages } from './images.ts'
import { atLeast, atMost, comparison, isReached, row } from './rows.ts'

const SMOKE_MS_MAX = 60_000

test(
  'actors: every workload, idle actors, processes',
  async () => {
    const rows = await measureActors(smokeSizes)
    expect(rows.filter(({ value }) => !(value > 0))).toEqual([])
    const what = rows.map(({ name }) => name).join('\n')
    for (const part of ['spawn', '1,000', '10,000', 'ask', 'ping-pong', 'heap', 'SIGKILL']) {
      expect(what).toContain(part)
    }
    expect(comparison(rows).split('\n')).toHaveLength(rows.length + 1)
  },
  SMOKE_MS_MAX,
)

test.skipIf(!hasErlang())(
  'actors: the same on Erlang',
  async () => {
    const round = await erlangRound({ ...smokeSizes.workloads, warmMs: 0 }, 100)
    expect(round.results.map(({ count }) => count)).toEqual([100, 1_000, 10_000, 5_000, 10_000])
  },
  SMOKE_MS_MAX,
)

test('images: a training step of the small network', async () => {
  const [made] = await measureImages(fewImages, undefined)
  expect(made?.value).toBeGreaterThan(0)
}, 20_000)

test('control: watchers, answers, readers that do not read', async () => {
  const rows = await measureControl(shortWatch)
  expect(rows.length).toBeGreaterThanOrEqual(5)
  for (const { value } of rows) expect(Number.isFinite(value)).toBe(true)
}, 60_000)

test('a target is reached on its own side', () => {
  expect(isReached(atLeast(10, row('x', 11, '')))).toBe(true)
  expect(isReached(atMost(10, row('x', 11, '')))).toBe(false)
  expect(isReached(row('x', 11, '', 10))).toBeUndefined()
})
