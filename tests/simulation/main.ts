// `bun run sim`: scenarios with random seeds, or --seed=N to run one again. Exits with 1 at the first
// failure, after the command that repeats it.
import { parseArgs } from 'node:util'
import { SimulationError, simulate } from '../../runtime/simulation/index.ts'
import { churn, churnOptions } from './churn.ts'

const options = {
  seed: { type: 'string' },
  runs: { type: 'string', default: '20' },
  steps: { type: 'string', default: '300' },
  help: { type: 'boolean' },
} as const
const usage = `bun run sim [--runs N] [--steps N]     as many runs, each with a seed of its own
bun run sim --seed N [--steps N]       that run again`

function readArguments() {
  try {
    const { values } = parseArgs({ options })
    for (const name of ['seed', 'runs', 'steps'] as const) {
      const value = values[name]
      if (value !== undefined && !/^\d{1,10}$/.test(value)) throw new Error(`--${name}: a number`)
    }
    return values
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`)
    process.exit(2)
  }
}

const values = readArguments()
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const steps = Number(values.steps)
const first = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
const runs = values.seed === undefined ? Number(values.runs) : 1

const total: Record<string, number> = {}
const startedAt = performance.now()
for (let run = 0; run < runs; run++) {
  const seed = (first + run) % 2 ** 32
  try {
    const replay = (): string => `bun run sim --seed=${seed} --steps=${steps}`
    await simulate(
      { ...churnOptions, name: 'churn', seed, steps, replay },
      async (kit, simulation) => {
        const { counts } = await churn(kit, simulation)
        for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + count
      },
    )
  } catch (error) {
    if (!(error instanceof SimulationError)) throw error
    console.error(`seed ${seed}: ${error.message}`)
    process.exit(1)
  }
}
const counted = Object.entries(total).sort(([a], [b]) => (a < b ? -1 : 1))
for (const [what, count] of counted) console.log(`${String(count).padStart(9)}  ${what}`)
const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
console.log(`${runs} runs of ${steps} steps, seeds from ${first}: nothing broken, ${seconds} s`)
