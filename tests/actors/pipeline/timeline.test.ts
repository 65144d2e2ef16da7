// The ring that a stage writes, and stages with clocks of their own over one axis.
import { expect, test } from 'bun:test'
import { insightLimits } from '../../../actors/insight.ts'
import { spanRing } from '../../../actors/pipeline/spans.ts'
import { timelineOf } from '../../../actors/pipeline/timeline.ts'

const stage = (index: number) => ({ stage: index, replica: 0, name: `subnetwork-${index}` })

test('a ring keeps the last spans, and says since when it knows everything', () => {
  let now = 0
  const ring = spanRing({ now: () => now, wallTime: () => 1e12 + now, after: () => () => {} })
  const { spansMax } = insightLimits
  for (let step = 0; step < spansMax + 10; step++) {
    const end = ring.begin('forward', step)
    now += 1
    end()
  }
  ring.begin('push', 5)
  now += 1
  const { spans, since } = ring.recent()
  expect(spans).toHaveLength(4 * (spansMax + 1))
  expect(since).toBe(10)
  expect(spans.slice(0, 4)).toEqual([0, 10, 10, 11])
  // Under way: as if it ended now.
  expect(spans.slice(-4)).toEqual([3, 5, now - 1, now])
})

test('clocks that began at different times meet on one axis; what lies between computing is waiting', () => {
  const wallTime = 1_000_000
  // Both computed 40 ms in turn, the second from where the first ended.
  const first = { now: 100, wallTime, since: 0, spans: [0, 1, 0, 40, 1, 1, 80, 100, 3, 1, 90, 100] }
  const second = { now: 7_100, wallTime, since: 0, spans: [2, 1, 7_040, 7_080] }
  const made = timelineOf([stage(0), stage(1), stage(2)], [first, second, undefined])
  expect(made).toMatchObject({ startedAt: wallTime - 100, durationMs: 100 })
  expect(made.missing).toEqual(['subnetwork-2'])
  expect(made.stages.map(({ idleShare }) => idleShare)).toEqual([0.4, 0.6])
  const of = (index: number) =>
    made.spans
      .filter((span) => span.stage === index)
      .map(({ kind, minibatch, from, to }) => [kind, minibatch, from, to])
  expect(of(0)).toEqual([
    ['forward', 1, 0, 40],
    ['backward', 1, 80, 100],
    ['push', 1, 90, 100],
    ['wait', 1, 40, 80],
  ])
  expect(of(1)).toEqual([
    ['both', 1, 40, 80],
    ['wait', 1, 0, 40],
    ['wait', null, 80, 100],
  ])
})
