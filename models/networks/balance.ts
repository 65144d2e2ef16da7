// Parts of a graph for inference that take equally long: cut by multiply-adds, measured, and cut again by
// what was measured, until it gets no better.
import { elementCount, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import type { Graph, Node, Value } from '../graph.ts'
import type { Session } from '../session.ts'
import { type CutGraph, type Cuts, cutAt, cutPlacesOf, planCuts } from './cut.ts'

export interface BalanceOptions {
  readonly parts: number
  /** Rows of the first extent where it is symbolic. */
  readonly batch: number
  readonly openSession: (graph: Graph) => Promise<Pick<Session, 'run'>>
  /** Milliseconds, of any start. */
  readonly now: () => number
  /** Of every part; the first warms up and does not count. Default 5. */
  readonly runs?: number
  /** Cuts that are tried. Default 8. */
  readonly rounds?: number
}

export interface Balanced {
  readonly cuts: Cuts
  readonly partsMs: readonly number[]
}

/** At either end of a cut, of a byte that two processes of one machine hand over in memory: as measured. */
const MS_PER_BYTE = 0.1e-6
/** Multiply-adds of one core in a millisecond, until it is measured. */
const WORK_PER_MS = 1.2e8
/** Orders of the nodes that are looked at. */
const ORDERS = 48

/** The parts of a model file. */
export function partsFor(graph: Graph, parts: number, cuts = estimateCuts(graph, parts)): Graph[] {
  return cutAt(cutPlacesOf(graph, cuts.order), cuts.at)
}

/** Without measuring: as the file orders its nodes. */
export function estimateCuts(graph: Graph, parts: number): Cuts {
  const { work, ...cut } = cutPlacesOf(graph)
  const { at } = planCuts(cut, { parts, work, workPerByte: MS_PER_BYTE * WORK_PER_MS })
  return { order: 0, at }
}

export async function balanceCuts(graph: Graph, options: BalanceOptions): Promise<Balanced> {
  const { parts, rounds = 8 } = options
  const orders = Array.from({ length: ORDERS }, (_, order) => cutPlacesOf(graph, order))
  const scale = new Map<Node, number>()
  let best: Balanced = { cuts: estimateCuts(graph, parts), partsMs: [] }
  let least = Number.POSITIVE_INFINITY
  const tried = new Set<string>()
  for (let round = 0; round < rounds; round++) {
    const { cut, order, at, work } = planBest(orders, { scale, ...options })
    const key = `${order}:${at}`
    if (tried.has(key)) break
    tried.add(key)
    const partsMs = await measureParts(cutAt(cut, at), options)
    const slowest = slowestOf(cut, { at, partsMs, batch: options.batch })
    if (slowest < least) best = { cuts: { order, at }, partsMs }
    least = Math.min(least, slowest)
    partsMs.forEach((ms, part) => {
      const [from, to] = [at[part - 1] ?? 0, at[part] ?? work.length]
      const factor = ms / sumOf(work.slice(from, to))
      for (const node of cut.nodes.slice(from, to)) scale.set(node, (scale.get(node) ?? 1) * factor)
    })
  }
  return best
}

/** Milliseconds of the slowest part, with what it sends and is sent. */
function slowestOf(
  { places }: CutGraph,
  { at, partsMs, batch }: { at: readonly number[]; partsMs: readonly number[]; batch: number },
): number {
  const bytes = at.map((cut) => places.find((place) => place.at === cut)?.bytes ?? 0)
  const sent = (part: number): number => (bytes[part - 1] ?? 0) + (bytes[part] ?? 0)
  return Math.max(...partsMs.map((ms, part) => ms + MS_PER_BYTE * batch * sent(part)))
}

/** Of all orders the cuts that should be fastest, by what is known of the nodes. */
function planBest(
  orders: readonly CutGraph[],
  { scale, parts, batch }: BalanceOptions & { readonly scale: ReadonlyMap<Node, number> },
) {
  const planned = orders.map((cut, order) => {
    const work = cut.work.map(
      (each, node) => ((each * batch) / WORK_PER_MS) * (scale.get(cut.nodes[node]!) ?? 1),
    )
    const plan = planCuts(cut, { parts, work, workPerByte: MS_PER_BYTE * batch })
    return { cut, order, work, ...plan }
  })
  return planned.reduce((best, plan) => (plan.slowest < best.slowest ? plan : best))
}

const sumOf = (numbers: readonly number[]): number => numbers.reduce((sum, each) => sum + each, 0)

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
