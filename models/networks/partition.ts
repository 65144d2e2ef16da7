// Cuts a sequence of subnetworks into parts of neighbours, one per actor, so that the slowest part is as
// fast as it can be: the throughput of a pipeline is that of its slowest part.
import { assert } from '../../protocol/assert.ts'

export interface SubnetworkCost {
  /** Of one micro-batch. */
  readonly forwardMs: number
  readonly backwardMs: number
  /** What goes on to the next subnetwork; as much comes back as gradient. */
  readonly outputBytes: number
  readonly parameterBytes: number
  /** What the forward pass of a micro-batch leaves behind for its backward pass. */
  readonly stashBytes: number
}

export interface PartitionOptions {
  /** Lowest first. */
  readonly costs: readonly SubnetworkCost[]
  readonly parts: number
  /** Of the link between neighbours; absent: transfers cost nothing. */
  readonly bytesPerMs?: number
}

export interface PartitionPlan {
  readonly parts: readonly PlannedPart[]
  /** First subnetwork of every part but the first. */
  readonly cuts: readonly number[]
  /** Between two micro-batches in a full pipeline: of the slowest part or link. */
  readonly bottleneckMs: number
  /** Of one micro-batch through all parts, without transfers: what one actor would take. */
  readonly wholeMs: number
}

export interface PlannedPart {
  readonly from: number
  readonly to: number
  readonly ms: number
  readonly parameterBytes: number
  /** Stashes and stashed parameters while the pipeline is full: one per minibatch in flight. */
  readonly memoryBytes: number
}

export class PartitionError extends Error {
  override readonly name = 'PartitionError'
}

/**
 * PipeDream's recurrence without replicated parts (Narayanan et al. 2019, section 3.1): the best cut of the
 * first j subnetworks into m parts is the best of all last parts i..j. Transfers overlap with computing, so
 * a link is one more thing that may be the slowest: twice its bytes, once forward, once back.
 */
export function planPartition({ costs, parts, bytesPerMs }: PartitionOptions): PartitionPlan {
  const count = costs.length
  if (!Number.isInteger(parts) || parts < 1 || parts > count) {
    throw new PartitionError(`${count} subnetworks are cut into 1 to ${count} parts, not ${parts}`)
  }
  const until = [0]
  for (const { forwardMs, backwardMs } of costs) {
    until.push(until[until.length - 1]! + forwardMs + backwardMs)
  }
  const linkMs = costs.map(({ outputBytes }) => (bytesPerMs ? (2 * outputBytes) / bytesPerMs : 0))
  /** [m][j]: slowest of the first j subnetworks in m + 1 parts, and where the last of them begins. */
  let best: readonly Best[] = until.map((ms) => ({ ms, from: [0] }))
  for (let m = 1; m < parts; m++) {
    const before = best
    best = until.map((_, end) => {
      let found: Best = { ms: Number.POSITIVE_INFINITY, from: [] }
      for (let i = m; i < end; i++) {
        const { ms, from } = before[i]!
        const slowest = Math.max(ms, linkMs[i - 1]!, until[end]! - until[i]!)
        if (slowest < found.ms) found = { ms: slowest, from: [...from, i] }
      }
      return found
    })
  }
  const { ms: bottleneckMs, from } = best[count]!
  const planned = from.map((start, index) =>
    partOf(costs, { from: start, to: from[index + 1] ?? count, inFlight: parts - index }),
  )
  return { parts: planned, cuts: from.slice(1), bottleneckMs, wholeMs: until[count]! }
}

interface Best {
  readonly ms: number
  readonly from: readonly number[]
}

function partOf(
  costs: readonly SubnetworkCost[],
  { from, to, inFlight }: { from: number; to: number; inFlight: number },
): PlannedPart {
  const own = costs.slice(from, to)
  assert(own.length > 0, 'a part has a subnetwork')
  const sum = (of: (cost: SubnetworkCost) => number): number =>
    own.reduce((total, cost) => total + of(cost), 0)
  const parameterBytes = sum((cost) => cost.parameterBytes)
  return {
    from,
    to,
    ms: sum(({ forwardMs, backwardMs }) => forwardMs + backwardMs),
    parameterBytes,
    memoryBytes: inFlight * (parameterBytes + sum((cost) => cost.stashBytes)),
  }
}
