// The simulator as a test: the same scenario as `bun run sim`, for seeds that are always the same.
import { describe, expect, test } from 'bun:test'
import { simulate } from '../../runtime/simulation/index.ts'
import { churn, churnOptions } from './churn.ts'
import { createLedger } from './ledger.ts'

const STEPS = 300

async function run(seed: number): Promise<Readonly<Record<string, number>>> {
  let counts = {}
  const replay = () => `bun run sim --seed=${seed} --steps=${STEPS}`
  await simulate(
    { ...churnOptions, name: 'churn', seed, steps: STEPS, replay },
    async (kit, simulation) => {
      ;({ counts } = await churn(kit, simulation))
    },
  )
  return counts
}

describe('simulation', () => {
  test('members that join, die, hang and are cut off keep every guarantee, for twenty seeds', async () => {
    const checked: Record<string, number> = {}
    for (let seed = 1; seed <= 20; seed++) {
      for (const [what, count] of Object.entries(await run(seed))) {
        checked[what] = (checked[what] ?? 0) + count
      }
    }
    // A run that checks nothing proves nothing.
    for (const what of ['notes', 'watches', 'asks answered', 'asks died', 'asks unreachable']) {
      expect(`${what} ${(checked[what] ?? 0) > 0}`).toBe(`${what} true`)
    }
  }, 60_000)

  test('one seed is one run', async () => {
    expect(await run(7)).toEqual(await run(7))
  })

  test('the ledger notices a note that comes twice, and an ask of the living that never settles', () => {
    const ledger = createLedger(() => 0)
    ledger.born('a/x#1')
    ledger.born('b/y#1')
    const note = { sender: 'a/x#1', receiver: '/y', sequence: 1, losses: 0, intended: 0 }
    ledger.received('b/y#1', 1, note)
    expect(ledger.violations).toEqual([])
    ledger.received('b/y#1', 1, note)
    expect(ledger.violations).toHaveLength(1)
    ledger.ask('a/x#1', 100, () => new Promise(() => {}))
    ledger.close()
    expect(ledger.violations.length).toBeGreaterThan(1)
  })

  test('a broken guarantee ends with the command that replays it', async () => {
    const broken = simulate({ name: 'broken', seed: 13 }, async () => {
      throw new Error('two Downs for one watch')
    })
    expect(await broken.catch((error: Error) => error.message)).toBe(
      'two Downs for one watch\nreplay: TROUPE_SEED=13 bun test -t "broken"',
    )
  })
})
