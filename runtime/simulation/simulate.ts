// One scenario, run for one seed or many: the seed decides everything that is left to chance. A failure
// says the command that runs it again.
import process from 'node:process'
import { createTestKit, type TestKit, type TestKitOptions } from './kit.ts'

export interface SimulationOptions extends Omit<TestKitOptions, 'seed' | 'replay'> {
  /** Of the test, for the command that replays it. */
  readonly name: string
  /** Default: what TROUPE_SEED says, or `seeds` from 1 on. */
  readonly seed?: number
  /** How many, one after the other. Default 1. */
  readonly seeds?: number
  /** For the scenario's own loop. Default 100. */
  readonly steps?: number
  /** Default: `TROUPE_SEED=7 bun test -t "name"`. */
  readonly replay?: (seed: number, steps: number) => string
}

export interface Simulation {
  readonly seed: number
  readonly steps: number
}

export class SimulationError extends Error {
  override readonly name = 'SimulationError'
  readonly seed: number
  constructor(seed: number, replay: string, cause: unknown) {
    super(`${cause instanceof Error ? cause.message : String(cause)}\nreplay: ${replay}`, { cause })
    this.seed = seed
  }
}

/** Rejects with `SimulationError` at the first seed whose scenario throws. */
export async function simulate(
  options: SimulationOptions,
  scenario: (kit: TestKit, simulation: Simulation) => Promise<void>,
): Promise<void> {
  const { name, steps = 100, replay = replayInTests(name) } = options
  for (const seed of seedsOf(options)) {
    const line = replay(seed, steps)
    try {
      const kit = await createTestKit({ ...options, seed, replay: line })
      await scenario(kit, { seed, steps })
      await kit.stop()
    } catch (cause) {
      throw new SimulationError(seed, line, cause)
    }
  }
}

function seedsOf({ seed, seeds = 1 }: SimulationOptions): readonly number[] {
  const chosen = seed ?? process.env.TROUPE_SEED
  if (chosen !== undefined) return [Number(chosen)]
  return Array.from({ length: seeds }, (_, index) => index + 1)
}

const replayInTests =
  (name: string) =>
  (seed: number): string =>
    `TROUPE_SEED=${seed} bun test -t ${JSON.stringify(name)}`
