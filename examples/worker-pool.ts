// Four processes count primes while one of them is killed again and again. Every answer still comes.
//   bun examples/worker-pool.ts
import { AskError, createPool, createSystem, realEnvironment } from 'troupe/runtime'
import { type CounterMessage, primesBelow } from './worker-pool/primes.ts'

const WORKERS = 4
const RANGES = 24
const RANGE = 100_000

const system = createSystem({ environment: realEnvironment({ seed: 1 }), member: 'control' })
const pool = createPool({
  system,
  module: new URL('./worker-pool/worker.ts', import.meta.url).href,
})
const firstLives: Promise<void>[] = []
const workers = Array.from({ length: WORKERS }, (_, i) => {
  const name = `worker-${i}`
  const { promise: isReady, resolve: markReady } = Promise.withResolvers<void>()
  firstLives.push(isReady)
  pool.start({
    name,
    actors: () => [{ kind: 'prime-counter', name: 'primes', config: null }],
    onEvent(event) {
      if (event.type === 'exited') console.log(`  ${name}: ${event.cause}`)
      if (event.type !== 'ready') return
      console.log(`  ${name} is ready, life ${event.incarnation}`)
      markReady()
    },
  })
  return name
})

/** Asks until somebody answers: a worker that dies costs one more try. */
async function count(from: number, to: number, turn: number): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const member = workers[(turn + tries) % WORKERS] ?? ''
    const ref = system.ref<CounterMessage>({ member, path: '/primes' })
    try {
      return await system.ask(ref, { type: 'count', from, to }, { timeoutMs: 10_000 })
    } catch (error) {
      if (!(error instanceof AskError && error.retryable)) throw error
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  throw new Error(`nobody counts ${from} to ${to}`)
}

await Promise.all(firstLives)
let found = 0
for (let i = 0; i < RANGES; i += WORKERS) {
  const asked = Array.from({ length: WORKERS }, (_, j) =>
    count((i + j) * RANGE, (i + j + 1) * RANGE, j),
  )
  const victim = pool.workers.get(workers[(i / WORKERS) % WORKERS] ?? '')
  console.log(`SIGKILL to ${victim?.name}`)
  victim?.kill('SIGKILL')
  for (const primes of await Promise.all(asked)) found += primes
}
await pool.stop()
system.stop()
const expected = primesBelow(0, RANGES * RANGE)
console.log(`${found} primes below ${RANGES * RANGE}: ${found === expected ? 'right' : 'WRONG'}`)
process.exitCode = found === expected ? 0 : 1
