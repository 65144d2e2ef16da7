// Command-line options as a table: parsing, validation and `--help` derive from it.
import { parseArgs } from 'node:util'

export interface OptionRow {
  readonly kind: 'text' | 'number' | 'flag' | 'numbers'
  /** Shown in the help after the name. */
  readonly value?: string
  readonly choices?: readonly string[]
  readonly isRequired?: boolean
  /** Shown in the help; the default itself lives where the option is used. */
  readonly byDefault?: string
  readonly help: string
}

export type OptionTable = Readonly<Record<string, OptionRow>>
export type OptionValue = string | number | boolean | readonly number[]
export type OptionValues = Readonly<Record<string, OptionValue>>

/** The command line cannot be understood: one line, exit status 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

export function readOptions(table: OptionTable, args: readonly string[]): OptionValues {
  const values: Record<string, OptionValue> = {}
  for (const [name, text] of Object.entries(parse(table, args))) {
    const row = table[name]
    if (row && text !== undefined) values[name] = readValue(name, row, text)
  }
  for (const [name, { isRequired, value }] of Object.entries(table)) {
    if (isRequired && values[name] === undefined) {
      throw new UsageError(`--${name} is missing: give --${name} ${value ?? ''}; --help explains`)
    }
  }
  return values
}

function parse(
  table: OptionTable,
  args: readonly string[],
): Record<string, string | boolean | undefined> {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { kind }]) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  try {
    return parseArgs({ args: joinNegatives(args), options, strict: true, allowPositionals: false })
      .values
  } catch (cause) {
    const message = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new UsageError(`${message}; --help lists the options`, { cause })
  }
}

/** `--snr -5` is meant as `--snr=-5`, which is all that parseArgs takes. */
function joinNegatives(args: readonly string[]): string[] {
  const joined: string[] = []
  for (const arg of args) {
    const before = joined.at(-1)
    const isValue = /^-\d/.test(arg) && before?.startsWith('--') && !before.includes('=')
    if (isValue) joined[joined.length - 1] = `${before}=${arg}`
    else joined.push(arg)
  }
  return joined
}

function readValue(name: string, row: OptionRow, text: string | boolean): OptionValue {
  if (typeof text === 'boolean') return text
  if (row.choices && !row.choices.includes(text)) {
    throw new UsageError(`--${name}: '${text}' is not one of ${row.choices.join(', ')}`)
  }
  if (row.kind === 'text') return text
  const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)))
  if (numbers.some((number) => !Number.isFinite(number))) {
    throw new UsageError(
      `--${name}: '${text}' is not a number${row.kind === 'numbers' ? ' list' : ''}`,
    )
  }
  return row.kind === 'number' ? (numbers[0] ?? 0) : numbers
}

export function helpOf(usage: string, table: OptionTable): string {
  const rows = Object.entries(table).map(([name, row]) => {
    const value = row.value ?? row.choices?.join('|') ?? ''
    const ending = row.byDefault === undefined ? '' : ` (default ${row.byDefault})`
    return [`  --${name} ${value}`.trimEnd(), `${row.help}${ending}`] as const
  })
  const width = 30
  const lines = rows.map(([left, right]) =>
    left.length < width ? `${left.padEnd(width)}${right}` : `${left}\n${' '.repeat(width)}${right}`,
  )
  return `${usage}\n\n${lines.join('\n')}\n`
}
