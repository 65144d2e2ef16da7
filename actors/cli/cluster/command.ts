// A command about a running cluster, as a row of a table: its help, its arguments, what it does.
import { ProblemError } from '../../control/client.js'
import {
  helpOf,
  type OptionTable,
  type OptionValues,
  readArguments,
  UsageError,
} from '../options.ts'
import { ClusterError, clusterOptions, type Connected, connect } from './connect.ts'

export interface ClusterCommand {
  readonly summary: string
  readonly table?: OptionTable
  /** What the words are called, in order; a `?` at the end: it may be left out. */
  readonly words?: readonly string[]
  readonly run: (call: Call) => Promise<number>
}

export interface Call extends Connected {
  readonly values: OptionValues
  readonly words: readonly string[]
  readonly isJson: boolean
  /** JSON where it is wanted, else the text. */
  print(value: unknown, text: () => string): void
}

export async function runClusterCommand(
  name: string,
  command: ClusterCommand,
  args: readonly string[],
): Promise<number> {
  const table = tableOf(command)
  const names = command.words ?? []
  if (args.includes('--help')) {
    const words = names.map((word) => (word.endsWith('?') ? `[${word.slice(0, -1)}]` : word))
    const usage = ['troupe', name, ...words, '[options]'].join(' ')
    console.log(helpOf(`${usage}\n\n${command.summary}`, table))
    return 0
  }
  const { values, words } = readArguments(table, args)
  checkWords(name, names, words)
  const connected = connect(values)
  const isJson = values.json === true
  try {
    return await command.run({
      ...connected,
      values,
      words,
      isJson,
      print: (value, text) => console.log(isJson ? JSON.stringify(value, null, 2) : text()),
    })
  } catch (error) {
    throw explained(error, connected.url)
  }
}

export function tableOf({ table = {} }: ClusterCommand): OptionTable {
  return { ...table, ...clusterOptions }
}

function checkWords(name: string, names: readonly string[], words: readonly string[]): void {
  const missing = names.filter((word) => !word.endsWith('?')).at(words.length)
  if (missing !== undefined) throw new UsageError(`${name}: give ${missing}; --help explains`)
  const extra = words[names.length]
  if (extra !== undefined) throw new UsageError(`${name}: '${extra}' is too much; --help explains`)
}

function explained(error: unknown, url: string): unknown {
  if (error instanceof ProblemError) {
    const advice = error.status === 401 ? '; give --token, printed at its start' : ''
    return new ClusterError(`${error.message}${advice}`, { cause: error })
  }
  const code = (error as { readonly code?: string } | undefined)?.code ?? ''
  const isGone = error instanceof TypeError || /refused|ConnectionClosed|ECONN/i.test(code)
  return isGone
    ? new ClusterError(`${url} does not answer: is it running?`, { cause: error })
    : error
}
