// What a benchmark yields: rows, each with what it is measured against.

export interface Row {
  readonly name: string
  readonly value: number
  readonly unit: string
  /** The target or the other side of the comparison; absent where there is none. */
  readonly anchor?: number
  /** value / anchor. */
  readonly ratio?: number
}

export interface BenchOptions {
  /** A folder of recordings; benchmarks of speech need one. */
  readonly data: string | undefined
  readonly seeds: readonly number[]
}

export type Bench = (options: BenchOptions) => Promise<readonly Row[]>

export function row(name: string, value: number, unit: string, anchor?: number): Row {
  if (anchor === undefined) return { name, value, unit }
  return { name, value, unit, anchor, ratio: value / anchor }
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
