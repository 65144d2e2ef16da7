// One framework, one process, one round: `bun round.ts <RoundOptions as JSON>` prints a `Round`.
import { median } from '../rows.ts'
import type {
  CreateFramework,
  Framework,
  FrameworkName,
  Result,
  Round,
  RoundOptions,
  Workload,
} from './framework.ts'

// Only what is measured is loaded.
const creators: Readonly<Record<FrameworkName, () => Promise<CreateFramework>>> = {
  troupe: async () => (await import('./troupe.ts')).create,
  nact: async () => (await import('./nact.ts')).create,
  xstate: async () => (await import('./xstate.ts')).createMachines,
  'xstate-transition': async () => (await import('./xstate.ts')).createTransitions,
}

async function round(options: RoundOptions): Promise<Round> {
  const { workloads, folder } = options
  const create = await creators[options.framework]()
  const batches = workloads.filter(({ name }) => name.startsWith('tell')).map(({ size }) => size)
  const framework = await create({ folder, batches })
  const results: Result[] = []
  for (const workload of workloads) results.push(await measure(framework, workload, options))
  return { version: framework.version, results }
}

/** The whole workload, again and again until warm; then so many repeats of it. */
async function measure(
  framework: Framework,
  { name, iterations, size }: Workload,
  { warmMs, repeats }: RoundOptions,
): Promise<Result> {
  const run = runs[name]
  const once = async (): Promise<number> => {
    let count = 0
    for (let i = 0; i < iterations; i++) count += await run(framework, size)
    return count
  }
  const warmUntil = performance.now() + warmMs
  do await once()
  while (performance.now() < warmUntil)
  const rates: number[] = []
  for (let repeat = 0; repeat < repeats; repeat++) {
    Bun.gc(true)
    const started = performance.now()
    const count = await once()
    rates.push(count / ((performance.now() - started) / 1_000))
    if (count !== iterations * size) {
      throw new Error(`${name}: ${count} of ${iterations * size} operations were seen`)
    }
  }
  return { name, rate: median(rates), count: iterations * size }
}

const runs: Readonly<Record<Workload['name'], (f: Framework, size: number) => Promise<number>>> = {
  spawn: (framework, size) => framework.spawnAndStop(size),
  'tell-1k': (framework, size) => framework.tells(size),
  'tell-10k': (framework, size) => framework.tells(size),
  ask: (framework, size) => framework.asks(size),
  'ping-pong': (framework, size) => framework.volley(size),
}

console.log(JSON.stringify(await round(JSON.parse(process.argv[2] ?? ''))))
process.exit(0)
