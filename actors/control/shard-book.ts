// The shards of a run as they are shown: asked at most once a second, whoever looks.
import type { Shard } from '../../protocol/control.ts'
import type { Clock } from '../../runtime/index.ts'
import type { Run } from '../run/launched.ts'

export interface ShardBook {
  /** As of the last time that somebody read them. */
  readonly known: readonly Shard[]
  /** As of at most a second ago; what was last heard where the shards are gone. */
  read(): Promise<readonly Shard[]>
  /** What they were is no more: the next look asks them. */
  forget(): void
}

const FRESH_MS = 1_000

export function createShardBook(id: string, run: Run, clock: Clock): ShardBook {
  let shards: readonly Shard[] = []
  let readAt = Number.NEGATIVE_INFINITY
  let reading: Promise<readonly Shard[]> | undefined

  async function ask(): Promise<readonly Shard[]> {
    try {
      shards = (await run.shards()).map((status, index) => shardOf(id, status, index))
    } catch {
      // Not there yet, or no more: what was heard last is what is known.
    }
    readAt = clock.now()
    return shards
  }

  return {
    get known() {
      return shards
    },
    read() {
      if (clock.now() - readAt < FRESH_MS) return Promise.resolve(shards)
      reading ??= ask().finally(() => {
        reading = undefined
      })
      return reading
    },
    forget() {
      readAt = Number.NEGATIVE_INFINITY
    },
  }
}

function shardOf(
  run: string,
  status: Awaited<ReturnType<Run['shards']>>[number],
  index: number,
): Shard {
  const { offset, length, phase, version, updates, staleness, journalBytes, recoveredMs } = status
  return {
    id: `shard-${index}`,
    run,
    offset,
    length,
    phase,
    version,
    learningRate: status.learningRate,
    policy: nameOf(status.policy),
    optimizer: status.optimizer,
    updates: { ...updates },
    staleness: upToLast(staleness),
    journalBytes,
    recoveredMs,
  }
}

/** A policy travels as data: its name, and its number where it has one. */
function nameOf(policy: unknown): string {
  if (typeof policy !== 'object' || policy === null) return String(policy ?? '')
  const { name, ...rest } = policy as { readonly name?: string }
  const numbers = Object.values(rest).filter((value) => typeof value === 'number')
  return [name ?? '', ...numbers].join(':')
}

function upToLast(counts: readonly number[]): number[] {
  return counts.slice(0, counts.findLastIndex((count) => count > 0) + 1)
}
