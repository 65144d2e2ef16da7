// Parts of a graph for inference that take equally long: cut by multiply-adds, measured, and cut again by
// what was measured, until it gets no better.
import { elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Graph, Value } from '../graph.ts'
import type { Session } from '../session.ts'
import { type CutGraph, cutAt, cutPlacesOf, planCuts } from './cut.ts'

export interface BalanceOptions {
  readonly parts: number
  /** Rows of the first extent where it is symbolic. */
  readonly batch: number
  readonly openSession: (graph: Graph) => Promise<Pick<Session, 'run'>>
  /** Milliseconds, of any start. */
  readonly now: () => number
  /** Of every part; the first warms up and does not count. Default 5. */
  readonly runs?: number
  /** Cuts that are tried. Default 6. */
  readonly rounds?: number
}

export interface Balanced {
  /** For `cutAt`. */
  readonly cuts: readonly number[]
  readonly partsMs: readonly number[]
}

/** Multiply-adds of one core in the time that a byte takes on its way, at either end: as measured, about. */
const WORK_PER_BYTE = 10

/** Without measuring. */
export function estimateCuts(cut: CutGraph, parts: number): readonly number[] {
  return planCuts(cut, { parts, work: cut.work, workPerByte: WORK_PER_BYTE })
}

export async function balanceCuts(graph: Graph, options: BalanceOptions): Promise<Balanced> {
  const { parts, rounds = 6 } = options
  const cut = cutPlacesOf(graph)
  const scale = cut.work.map(() => 1)
  let best: Balanced | undefined
  const tried = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const work = cut.work.map((each, node) => each * scale[node]!)
    const cuts = planCuts(cut, { parts, work, workPerByte: WORK_PER_BYTE })
    if (tried.has(cuts.join())) break
    tried.add(cuts.join())
    const partsMs = await measureParts(cutAt(cut, cuts), options)
    if (!best || Math.max(...partsMs) < Math.max(...best.partsMs)) best = { cuts, partsMs }
    const total = partsMs.reduce((sum, ms) => sum + ms, 0)
    const sum = work.reduce((all, each) => all + each, 0)
    partsMs.forEach((ms, part) => {
      const [from, to] = [cuts[part - 1] ?? 0, cuts[part] ?? work.length]
      const own = work.slice(from, to).reduce((all, each) => all + each, 0)
      for (let node = from; node < to; node++) scale[node]! *= ms / total / (own / sum)
    })
  }
  return best ?? { cuts: [], partsMs: [] }
}

async function measureParts(
  graphs: readonly Graph[],
  { batch, openSession, now, runs = 5 }: BalanceOptions,
): Promise<number[]> {
  const found: number[] = []
  for (const graph of graphs) {
    const session = await openSession(graph)
    const feeds = Object.fromEntries(
      graph.inputs.map((value) => [value.name, onesFor(value, batch)]),
    )
    let fastest = Number.POSITIVE_INFINITY
    for (let run = 0; run < runs; run++) {
      const started = now()
      await session.run(feeds)
      if (run > 0) fastest = Math.min(fastest, now() - started)
    }
    found.push(fastest)
  }
  return found
}

function onesFor({ shape }: Value, batch: number): Tensor {
  const extents = shape.map((extent) => (typeof extent === 'number' ? extent : batch))
  return tensorOf(new Float32Array(elementCount(extents)).fill(1), extents)
}
