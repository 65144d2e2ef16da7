// Idle actors: how many bytes of heap one takes, how long so many take to start, to answer, to stop. In a
// process of its own: `bun memory.ts COUNT` prints an `IdleActors`.
import { heapStats } from 'bun:jsc'
import { fileURLToPath } from 'node:url'
import {
  createSystem,
  defineActor,
  type Infer,
  integer,
  next,
  type Ref,
  realEnvironment,
  replyTo,
  union,
} from '../../runtime/index.ts'
import { runJson } from './run-json.ts'
import { atMost, type Peer, type Row, row } from './rows.ts'

export interface IdleActors {
  readonly count: number
  /** Of heap, for each actor: after its start, and after one message. */
  readonly bytesIdle: number
  readonly bytesAnswered: number
  /** Of the process, for each actor. */
  readonly residentBytes: number
  readonly spawnMs: number
  readonly answerMs: number
  readonly stopMs: number
  /** The sum of all answers: each actor has answered once, and none twice. */
  readonly checksum: number
}

const BYTES_MAX = 600
const ASKS_AT_ONCE = 10_000
const TIMEOUT_MS = 60_000

/** `peers`: what an idle actor of theirs takes. */
export async function memoryRows(
  counts: readonly number[],
  peers: readonly Peer[] = [],
): Promise<readonly Row[]> {
  const rows: Row[] = []
  for (const count of counts) {
    const idle = await runJson<IdleActors>(fileURLToPath(import.meta.url), [`${count}`])
    if (idle.checksum !== checksumOf(count)) throw new Error(`the answers sum to ${idle.checksum}`)
    const name = `${count.toLocaleString('en')} idle actors`
    const bytesRow = (what: string, bytes: number): Row =>
      atMost(BYTES_MAX, row(`${name}: ${what}`, bytes, 'B'), peers)
    rows.push(
      bytesRow('heap each', idle.bytesIdle),
      bytesRow('heap each after one message', idle.bytesAnswered),
      row(`${name}: resident memory each`, idle.residentBytes, 'B'),
      row(`${name}: all started`, idle.spawnMs, 'ms'),
      row(`${name}: all have answered an ask`, idle.answerMs, 'ms'),
      row(`${name}: all stopped`, idle.stopMs, 'ms'),
      row(`${name}: checksum of the answers`, idle.checksum, ''),
    )
  }
  return rows
}

const checksumOf = (count: number): number => (count * (count - 1)) / 2

const Message = union({ count: { value: integer, replyTo: replyTo<number>() } })

async function idleActors(count: number): Promise<IdleActors> {
  const system = createSystem({
    environment: realEnvironment({ seed: 'bench' }),
    member: 'bench',
    limits: { actorsMax: count + 16 },
  })
  let stopped = 0
  const { promise: allStopped, resolve } = Promise.withResolvers<void>()
  const idle = defineActor({
    kind: 'idle',
    protocol: Message,
    start: () => 0,
    receive(state: number, { value, replyTo }: Infer<typeof Message>) {
      replyTo.tell(value)
      return next(state + 1)
    },
    stopped() {
      stopped += 1
      if (stopped === count) resolve()
    },
  })
  const refs: Ref<Infer<typeof Message>>[] = new Array(count)
  // The code that starts an actor is not a part of an actor.
  system.stopActor(system.spawn(idle, undefined, { name: 'first' }))
  await system.drain(TIMEOUT_MS)
  stopped = 0

  const before = memory()
  let started = performance.now()
  for (let i = 0; i < count; i++) refs[i] = system.spawn(idle, undefined, { name: `idle-${i}` })
  const spawnMs = performance.now() - started
  const spawned = memory()

  started = performance.now()
  let checksum = 0
  for (let from = 0; from < count; from += ASKS_AT_ONCE) {
    const asked = refs.slice(from, from + ASKS_AT_ONCE).map((ref, index) => {
      const message = { type: 'count' as const, value: from + index }
      return system.ask(ref, message, { timeoutMs: TIMEOUT_MS })
    })
    for (const value of await Promise.all(asked)) checksum += value
  }
  const answerMs = performance.now() - started
  const answered = memory()

  started = performance.now()
  for (const ref of refs) system.stopActor(ref)
  await allStopped
  const stopMs = performance.now() - started
  system.stop()
  return {
    count,
    bytesIdle: (spawned.heap - before.heap) / count,
    bytesAnswered: (answered.heap - before.heap) / count,
    residentBytes: (spawned.resident - before.resident) / count,
    spawnMs,
    answerMs,
    stopMs,
    checksum,
  }
}

function memory(): { readonly heap: number; readonly resident: number } {
  // Twice: what the first collection finalizes, the second frees.
  Bun.gc(true)
  Bun.gc(true)
  return { heap: heapStats().heapSize, resident: process.memoryUsage().rss }
}

if (import.meta.main) {
  console.log(JSON.stringify(await idleActors(Number(process.argv[2]))))
  process.exit(0)
}
