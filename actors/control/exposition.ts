// Metrics as Prometheus reads them (text exposition format 0.0.4): families with help, type and samples.

export interface Family {
  readonly name: string
  readonly help: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  readonly samples: readonly Sample[]
}

export interface Sample {
  /** After the name of the family: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
}

export function exposition(families: readonly Family[]): string {
  return families
    .filter(({ samples }) => samples.length > 0)
    .map(({ name, help, type, samples }) => {
      const lines = samples.map(
        ({ suffix = '', labels = {}, value }) =>
          `${name}${suffix}${labelsOf(labels)} ${numberOf(value)}`,
      )
      return `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n${lines.join('\n')}\n`
    })
    .join('')
}

/** Counts by whole values as a cumulative histogram; the last count is of all above. */
export function histogram(
  counts: readonly number[],
  labels: Readonly<Record<string, string>>,
  bounds: readonly number[],
): Sample[] {
  const upTo = (bound: number): number =>
    counts.slice(0, bound + 1).reduce((sum, count) => sum + count, 0)
  const total = upTo(counts.length)
  const sum = counts.reduce((weighted, count, value) => weighted + count * value, 0)
  const buckets = bounds.map((bound) => ({
    suffix: '_bucket',
    labels: { ...labels, le: `${bound}` },
    value: upTo(bound),
  }))
  return [
    ...buckets,
    { suffix: '_bucket', labels: { ...labels, le: '+Inf' }, value: total },
    { suffix: '_sum', labels, value: sum },
    { suffix: '_count', labels, value: total },
  ]
}

function labelsOf(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n')
}

function escapeHelp(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n')
}

function numberOf(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf'
  return `${value}`
}
