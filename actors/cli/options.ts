// Command-line options as a table: parsing, validation and `--help` derive from it.
import { parseArgs } from 'node:util'
import { wrap } from './lines.ts'

export interface OptionRow {
  readonly kind: 'flag' | 'text' | 'number' | 'integer' | 'integers'
  /** Shown in the help after the name. */
  readonly value?: string
  readonly choices?: readonly string[]
  /** Of numbers: the least and the greatest allowed. */
  readonly range?: readonly [number, number]
  /** Of lists: how many numbers. */
  readonly count?: number
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
  const { values, words } = readArguments(table, args)
  const [word] = words
  if (word !== undefined) {
    throw new UsageError(`'${word}' is no option; --help lists the options`)
  }
  return values
}

/** Options, and the words between them. */
export function readArguments(
  table: OptionTable,
  args: readonly string[],
): { readonly values: OptionValues; readonly words: readonly string[] } {
  const values: Record<string, OptionValue> = {}
  const words: string[] = []
  for (const token of tokensOf(table, args)) {
    if (token.kind === 'positional') {
      words.push(token.value)
      continue
    }
    if (token.kind === 'option-terminator') continue
    // Not `table[name]`: '--constructor' would find what every object has.
    const row = Object.hasOwn(table, token.name) ? table[token.name] : undefined
    if (!row) throw new UsageError(`no option ${token.rawName}; --help lists the options`)
    values[token.name] = readValue(token.name, row, token.value)
  }
  for (const [name, row] of Object.entries(table)) {
    if (row.isRequired && values[name] === undefined) {
      throw new UsageError(`--${name} is missing: give --${name} ${row.value}; --help explains`)
    }
  }
  return { values, words }
}

// Not strict: its refusals take several lines, and it takes no negative number for a value.
function tokensOf(table: OptionTable, args: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(table).map(([name, { kind }]) => [
      name,
      { type: kind === 'flag' ? ('boolean' as const) : ('string' as const) },
    ]),
  )
  return parseArgs({ args: [...args], options, strict: false, tokens: true }).tokens
}

function readValue(name: string, row: OptionRow, text: string | undefined): OptionValue {
  if (row.kind === 'flag') {
    if (text === undefined) return true
    throw new UsageError(`--${name} takes no value, but was given '${text}'; --help explains`)
  }
  if (text === undefined || text === '' || text.startsWith('--')) {
    throw new UsageError(`--${name} has no value; give ${allowedOf(row)} (--help explains)`)
  }
  const value = row.kind === 'text' ? readText(row, text) : readNumbers(row, text)
  if (value !== undefined) return value
  throw new UsageError(`--${name}: '${text}'; give ${allowedOf(row)} (--help explains)`)
}

function readText({ choices }: OptionRow, text: string): string | undefined {
  return !choices || choices.includes(text) ? text : undefined
}

function readNumbers(row: OptionRow, text: string): number | number[] | undefined {
  const parts = text.split(',').map((part) => part.trim())
  const numbers = parts.map((part) => (part === '' ? Number.NaN : Number(part)))
  const [low, high] = row.range ?? [-Number.MAX_VALUE, Number.MAX_VALUE]
  const isAllowed = (number: number): boolean =>
    number >= low && number <= high && (row.kind === 'number' || Number.isInteger(number))
  if (!numbers.every(isAllowed)) return undefined
  if (row.kind === 'integers')
    return numbers.length === (row.count ?? numbers.length) ? numbers : undefined
  return numbers.length === 1 ? numbers[0] : undefined
}

/** What may be given, in words. */
export function allowedOf({ kind, value, choices, range, count }: OptionRow): string {
  if (choices) return inWords(choices)
  if (kind === 'flag') return 'nothing'
  if (kind === 'text') return value ?? 'text'
  const from = range ? ` from ${range[0]} to ${range[1]}` : ''
  if (kind === 'integers') return `${count ?? 'one or more'} whole numbers${from}, with commas`
  return `a ${kind === 'integer' ? 'whole number' : 'number'}${from}`
}

function inWords(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

const INDENT = 28
const COLUMNS = 80

export function helpOf(usage: string, table: OptionTable): string {
  const rows = Object.entries(table).flatMap(([name, row]) => {
    const left = `  --${name} ${row.value ?? ''}`.trimEnd()
    const [first = '', ...others] = wrap(explanationOf(row), COLUMNS - INDENT)
    return [
      `${left.padEnd(INDENT)}${first}`,
      ...others.map((line) => `${' '.repeat(INDENT)}${line}`),
    ]
  })
  return `${usage}\n\n${rows.join('\n')}\n`
}

function explanationOf(row: OptionRow): string {
  const details = [
    row.choices ? inWords(row.choices) : '',
    row.range ? `${row.range[0]} to ${row.range[1]}` : '',
    row.isRequired ? 'required' : '',
    row.byDefault === undefined ? '' : `default ${row.byDefault}`,
  ].filter((part) => part !== '')
  return details.length === 0 ? row.help : `${row.help} (${details.join('; ')})`
}
