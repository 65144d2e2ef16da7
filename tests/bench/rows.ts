// What a benchmark yields: rows, each with what it is measured against.
import { cpus, totalmem } from 'node:os'

export interface Row {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The target or the other side of the comparison; absent where there is none. */
  readonly anchor?: number
  /** value / anchor. */
  readonly ratio?: number
  /** Which side of the anchor is the good one; absent where the anchor is no target. */
  readonly goal?: Goal
  /** What others reach, in the unit of the row. */
  readonly peers?: readonly Peer[]
  /** Of which `value` is the median. */
  readonly samples?: readonly number[]
}

type Goal = 'at-least' | 'at-most'

export interface Peer {
  readonly name: string
  readonly value: number
  /** Where it was not measured in the same run: when and how. */
  readonly note?: string
  /** Of which `value` is the median. */
  readonly samples?: readonly number[]
}

export interface BenchOptions {
  /** A folder of recordings; benchmarks of speech need one. */
  readonly data: string | undefined
  /** A folder with `train` and `test`, a folder per class in each; benchmarks on real images need one. */
  readonly images: string | undefined
  readonly seeds: readonly number[]
}

export type Bench = (options: BenchOptions) => Promise<readonly Row[]>

export function row(name: string, value: number, unit: string, anchor?: number): Row {
  if (anchor === undefined) return { name, value, unit }
  return { name, value, unit, anchor, ratio: value / anchor }
}

/** The row with a target that it should reach, and what peers reach. */
export function atLeast(anchor: number, row: Row, peers: readonly Peer[] = []): Row {
  return towards('at-least', anchor, row, peers)
}

/** The row with a target that it should not exceed, and what peers reach. */
export function atMost(anchor: number, row: Row, peers: readonly Peer[] = []): Row {
  return towards('at-most', anchor, row, peers)
}

function towards(goal: Goal, anchor: number, row: Row, peers: readonly Peer[]): Row {
  return { ...row, anchor, ratio: row.value / anchor, goal, ...(peers.length > 0 && { peers }) }
}

/** Undefined where the row has no target. */
export function isReached({ value, anchor, goal }: Row): boolean | undefined {
  if (goal === undefined || anchor === undefined) return undefined
  return goal === 'at-least' ? value >= anchor : value <= anchor
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low, high] = [sorted[Math.max(0, middle - 1)] ?? 0, sorted[middle] ?? 0]
  return sorted.length % 2 === 1 ? high : (low + high) / 2
}

const NAME = 58

export function table(rows: readonly Row[]): string {
  const format = (value: number | undefined): string =>
    value === undefined ? '' : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(2)
  const lines = rows.map(({ name, value, unit, anchor, ratio }) =>
    [
      name.padEnd(NAME),
      format(value).padStart(11),
      unit.padEnd(12),
      format(anchor).padStart(9),
      format(ratio).padStart(7),
    ].join(' '),
  )
  const header = [
    'name'.padEnd(NAME),
    'value'.padStart(11),
    'unit'.padEnd(12),
    'anchor'.padStart(9),
    'ratio'.padStart(7),
  ]
  return [header.join(' '), ...lines].join('\n')
}

/** What, Troupe, target, whether it is reached, peers. */
export function comparison(rows: readonly Row[]): string {
  const cells = rows.map((row) => {
    const { name, value, unit, anchor, goal, peers = [] } = row
    const sign = goal === 'at-least' ? '>= ' : goal === 'at-most' ? '<= ' : 'beside '
    const reached = isReached(row)
    return [
      name,
      `${short(value, unit)} ${unit}`.trim(),
      anchor === undefined ? '' : sign + short(anchor, unit),
      reached === undefined ? '' : reached ? 'yes' : 'NO',
      peers.map(
        ({ name, value, note }) => `${name} ${short(value, unit)}${note ? ` (${note})` : ''}`,
      ),
    ].map((cell) => (Array.isArray(cell) ? cell.join(', ') : cell))
  })
  const lines = [['what', 'troupe', 'target', 'ok?', 'peers'], ...cells]
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...lines.map((line) => line[column]?.length ?? 0)),
  )
  return lines
    .map((line) => line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => line.trimEnd())
    .join('\n')
}

function short(value: number, unit: string): string {
  const size = Math.abs(value)
  // A count is a checksum: every digit of it.
  if (unit === '') return value.toLocaleString('en')
  if (size >= 1e6) return `${(value / 1e6).toFixed(size >= 1e7 ? 1 : 2)} M`
  if (size >= 1_000) return Math.round(value).toLocaleString('en')
  return size >= 100 || Number.isInteger(value) ? value.toFixed(0) : value.toFixed(2)
}

/** Where a run was made: no figure means much without it. */
export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly platform: string
  readonly bun: string
  readonly at: string
}

export function describeMachine(): Machine {
  const cores = cpus()
  return {
    processor: cores[0]?.model ?? 'unknown',
    cores: cores.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform} ${process.arch}`,
    bun: Bun.version,
    at: new Date().toISOString(),
  }
}
