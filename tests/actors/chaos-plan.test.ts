import { describe, expect, test } from 'bun:test'
import { ChaosPlanError, dueFaults, parseChaos } from '../../actors/chaos-plan.ts'
import { randomFor } from '../../protocol/random.ts'

describe('parseChaos', () => {
  test('reads faults, roles and single processes', () => {
    expect(parseChaos('kill:trainer@30%, kill:shard@62.5%,stop:lattices-1@0%')).toEqual([
      { fault: 'kill', target: 'trainer', at: 0.3 },
      { fault: 'kill', target: 'shard', at: 0.625 },
      { fault: 'stop', target: 'lattices-1', at: 0 },
    ])
    expect(parseChaos('fault:trainer@30%,hang:trainer-1@50%')).toEqual([
      { fault: 'fault', target: 'trainer', at: 0.3 },
      { fault: 'hang', target: 'trainer-1', at: 0.5 },
    ])
    expect(parseChaos('')).toEqual([])
  })

  const wrong = [
    'maim:trainer@30%',
    'kill:evaluator@30%',
    'kill:trainer-@30%',
    'kill:trainer@30',
    'kill:trainer@-3%',
    'kill:trainer@100%',
    'kill:trainer',
    'kill trainer@30%',
    'fault:shard@30%',
    'hang:lattices@30%',
  ]
  test.each(wrong)('refuses %p and names it, not its neighbours', (part) => {
    const read = (): unknown => parseChaos(`kill:shard@10%,${part}`)
    expect(read).toThrow(ChaosPlanError)
    expect(read).toThrow(`chaos: '${part}' is not understood`)
  })
})

describe('dueFaults', () => {
  test('strikes each fault exactly once, in whatever steps progress is seen', () => {
    const plan = parseChaos('kill:trainer@0%,kill:shard@30%,stop:shard@30%,kill:trainer@99.9%')
    for (let seed = 0; seed < 50; seed++) {
      const random = randomFor(seed)
      const struck: unknown[] = []
      for (let now = 0; now < 1; ) {
        const before = now
        now = Math.min(1, now + 0.3 * random.next())
        struck.push(...dueFaults(plan, before, now))
      }
      expect(struck).toEqual([...plan])
    }
  })

  test('strikes once when progress is seen exactly at its time', () => {
    const plan = parseChaos('kill:shard@50%')
    expect(dueFaults(plan, 0.25, 0.5)).toEqual([])
    expect(dueFaults(plan, 0.5, 0.75)).toEqual([...plan])
  })
})
