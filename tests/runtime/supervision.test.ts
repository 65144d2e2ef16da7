import { describe, expect, test } from 'bun:test'
import { randomFor } from '../../protocol/random.ts'
import {
  backoffMs,
  judgeDeath,
  type RestartPolicy,
  type Verdict,
  withRestart,
} from '../../runtime/supervision.ts'

const limit = { restartsMax: 2, windowMs: 1_000 }

describe('verdicts', () => {
  const now = 5_000
  // policy, crashed, times of earlier restarts -> verdict
  const cases: [RestartPolicy, boolean, number[], Verdict][] = [
    ['temporary', true, [], 'forget'],
    ['temporary', false, [], 'forget'],
    ['transient', false, [], 'forget'],
    ['transient', false, [4_900, 4_950], 'forget'],
    ['transient', true, [], 'restart'],
    ['transient', true, [4_500], 'restart'],
    ['transient', true, [4_500, 4_900], 'escalate'],
    ['permanent', false, [], 'restart'],
    ['permanent', true, [4_500], 'restart'],
    ['permanent', false, [4_500, 4_900], 'escalate'],
    // Restarts as old as the window count no more.
    ['permanent', true, [1_000, 4_000, 4_900], 'restart'],
    ['permanent', true, [4_001, 4_900], 'escalate'],
  ]
  for (const [policy, crashed, restarts, verdict] of cases) {
    const how = crashed ? 'crashes' : 'stops'
    test(`${policy} ${how} after restarts at [${restarts}]: ${verdict}`, () => {
      expect(judgeDeath({ policy, crashed, restarts, limit, now })).toBe(verdict)
    })
  }

  test('so many failed starts in a row escalate, whatever the limit still allows', () => {
    const death = { policy: 'permanent' as const, crashed: true, restarts: [], limit, now }
    const judge = (failedStarts: number) =>
      judgeDeath({ ...death, failedStarts, failedStartsMax: 3 })
    expect([0, 2, 3].map(judge)).toEqual(['restart', 'restart', 'escalate'])
    const temporary = { ...death, policy: 'temporary' as const }
    expect(judgeDeath({ ...temporary, failedStarts: 9, failedStartsMax: 3 })).toBe('forget')
  })

  test('no restarts at all are allowed by a limit of 0', () => {
    const none = { restartsMax: 0, windowMs: 1 }
    const death = { policy: 'transient' as const, crashed: true, restarts: [], now }
    expect(judgeDeath({ ...death, limit: none })).toBe('escalate')
  })
})

test('the list of restarts stays as short as its limit', () => {
  let restarts: readonly number[] = []
  for (let now = 0; now < 100_000; now += 400) restarts = withRestart(restarts, now, limit)
  expect(restarts).toEqual([98_800, 99_200, 99_600])
})

describe('back-off', () => {
  const backoff = { delayMs: 100, delayMsMax: 1_000 }

  test('the first restart never waits', () => {
    expect(backoffMs(0, backoff, randomFor('x'))).toBe(0)
  })

  test('delays double up to their limit; the upper half is drawn by chance', () => {
    const random = randomFor('back-off')
    const ceilings = [100, 200, 400, 800, 1_000, 1_000]
    ceilings.forEach((ceiling, index) => {
      const drawn = Array.from({ length: 200 }, () => backoffMs(index + 1, backoff, random))
      expect(Math.min(...drawn)).toBeGreaterThanOrEqual(ceiling / 2)
      expect(Math.max(...drawn)).toBeLessThan(ceiling)
      expect(Math.max(...drawn) - Math.min(...drawn)).toBeGreaterThan(ceiling / 4)
    })
  })

  test('a thousand tries overflow nothing', () => {
    expect(backoffMs(1_000, backoff, randomFor('x'))).toBeLessThan(1_000)
  })
})
