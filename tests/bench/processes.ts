// Worker processes without ONNX Runtime: from spawn to an actor that is ready, and from SIGKILL to a
// successor that has answered.
import { fileURLToPath } from 'node:url'
import {
  AskError,
  createPool,
  createSystem,
  type Pool,
  type PoolWorker,
  realEnvironment,
  type System,
} from '../../runtime/index.ts'
import type { LifeMessage } from './peers/worker.ts'
import { atMost, median, type Row, row } from './rows.ts'

const READY_MS_MAX = 100
const RECOVERED_MS_MAX = 250
/** From the death to the next try, where an ask has failed. */
const AGAIN_MS = 1

interface Life {
  readonly readyMs: number
  readonly recoveredMs: number
}

/** Each process is started, asked, killed, asked until its successor answers, and stopped. */
export async function processRows(count: number): Promise<readonly Row[]> {
  const system = createSystem({ environment: realEnvironment({ seed: 'bench' }), member: 'bench' })
  const module = fileURLToPath(new URL('./peers/worker.ts', import.meta.url))
  const pool = createPool({ system, module })
  try {
    await system.listen()
    const lives: Life[] = []
    for (let index = 0; index < count; index++) {
      lives.push(await measureLife(system, pool, `worker-${index}`))
    }
    const ready = lives.map(({ readyMs }) => readyMs)
    const recovered = lives.map(({ recoveredMs }) => recoveredMs)
    return [
      ...timeRows(`process spawned to actor ready, of ${count}`, ready, READY_MS_MAX),
      ...timeRows(`SIGKILL to successor's answer, of ${count}`, recovered, RECOVERED_MS_MAX),
    ]
  } finally {
    await pool.stop()
    system.stop()
  }
}

function timeRows(name: string, times: readonly number[], medianMax: number): Row[] {
  return [
    atMost(medianMax, { ...row(`${name}: median`, median(times), 'ms'), samples: times }),
    row(`${name}: slowest`, Math.max(...times), 'ms'),
  ]
}

async function measureLife(system: System, pool: Pool, name: string): Promise<Life> {
  const { promise: ready, resolve, reject } = Promise.withResolvers<number>()
  const worker = pool.start({
    name,
    actors: () => [{ kind: 'life', name: 'life', config: undefined }],
    onEvent(event) {
      if (event.type === 'ready') resolve(event.msSinceSpawn)
      if (event.type === 'gave-up') reject(new Error(`${name}: ${event.cause}`))
    },
  })
  const readyMs = await ready
  const first = await askLife(system, name)
  const killedAt = performance.now()
  worker.kill('SIGKILL')
  await successor(system, worker, first)
  const recoveredMs = performance.now() - killedAt
  await worker.stop()
  return { readyMs, recoveredMs }
}

/** Asks until another life than the first answers, as a client would that knows nothing of processes. */
async function successor(system: System, { name }: PoolWorker, first: number): Promise<void> {
  for (;;) {
    try {
      if ((await askLife(system, name)) > first) return
    } catch (error) {
      if (!(error instanceof AskError && error.retryable)) throw error
    }
    await Bun.sleep(AGAIN_MS)
  }
}

function askLife(system: System, member: string): Promise<number> {
  const life = system.ref<LifeMessage>({ member, path: '/life' })
  return system.ask(life, { type: 'which' }, { timeoutMs: 10_000 })
}
