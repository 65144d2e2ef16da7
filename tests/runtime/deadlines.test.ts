import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { createDeadlines, type Expiring } from '../../runtime/deadlines.ts'
import { virtualClock } from '../../runtime/simulation/virtual-clock.ts'

interface Wait extends Expiring {
  readonly ms: number
}

describe('deadlines', () => {
  test('expire when a timer of their own would, whatever ends before', async () => {
    const action = fc.oneof(
      fc.record({ type: fc.constant('begin' as const), ms: fc.constantFrom(5, 10, 30) }),
      fc.record({ type: fc.constant('end' as const), which: fc.nat(20) }),
      fc.record({ type: fc.constant('advance' as const), ms: fc.nat(12) }),
    )
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 40 }), async (actions) => {
        const clock = virtualClock()
        const deadlines = createDeadlines(clock)
        const waits: Wait[] = []
        const expired: string[] = []
        // The obvious twin: a timer for each.
        const twin: string[] = []
        const cancels: (() => void)[] = []
        for (const step of actions) {
          if (step.type === 'begin') {
            const name = waits.length
            const { ms } = step
            const wait: Wait = {
              ms,
              expiresAt: 0,
              earlier: undefined,
              later: undefined,
              expired: () => expired.push(`${name} at ${clock.now()}`),
            }
            waits.push(wait)
            deadlines.begin(ms, wait)
            cancels.push(clock.after(ms, () => twin.push(`${name} at ${clock.now()}`)))
          } else if (step.type === 'end') {
            const wait = waits[step.which]
            if (wait) deadlines.end(wait.ms, wait)
            cancels[step.which]?.()
          } else {
            await clock.advance(step.ms)
          }
        }
        await clock.advance(100)
        expect(expired.toSorted()).toEqual(twin.toSorted())
      }),
    )
  })

  test('leave no timer behind when all have ended', async () => {
    const clock = virtualClock()
    const deadlines = createDeadlines(clock)
    const waits = [10_000, 10_000, 60_000].map((ms) => {
      const wait: Wait = {
        ms,
        expiresAt: 0,
        earlier: undefined,
        later: undefined,
        expired: () => {},
      }
      deadlines.begin(ms, wait)
      return wait
    })
    expect(clock.timers).toBe(2)
    for (const wait of waits) deadlines.end(wait.ms, wait)
    await clock.advance(0)
    expect(clock.timers).toBe(0)
  })
})
