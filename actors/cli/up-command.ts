// `troupe up`: a control plane that stays when its runs end, with a run to begin with or without.
import { pathToFileURL } from 'node:url'
import { resolve } from 'node:path'
import { realEnvironment } from '../../runtime/index.ts'
import { type ControlPlane, startControl } from '../control/serve.ts'
import type { RunBook } from '../control/plane.ts'
import { launch, type LaunchOptions, type Run, type Task } from '../launch.ts'
import { controlIn } from './control-options.ts'
import { OptionError } from '../run/options.ts'
import { nearest } from './nearest.ts'
import { helpOf, type OptionTable, type OptionValues, readOptions, UsageError } from './options.ts'
import { progressWriterFor } from './progress.ts'
import { camelCased, givenTo, trainCommands } from './run.ts'
import { controlOptions, quiet } from './run-options.ts'

const USAGE = `troupe up [speech|image|model|SCRIPT] [options]

Starts a control plane and, where it is told what, a run; it stays until Ctrl-C.
A SCRIPT exports a task, or what launch takes, as its default.`

export async function upCommand(args: readonly string[]): Promise<number> {
  const [first, ...others] = args
  const target = first?.startsWith('-') ? undefined : first
  const rest = target === undefined ? args : others
  const json = { kind: 'flag', help: 'say the address as JSON' } as const
  const table: OptionTable = { ...tableOf(target), ...controlOptions, json, quiet }
  if (args.includes('--help')) {
    console.log(helpOf(USAGE, table))
    return 0
  }
  const values = readOptions(table, rest)
  const { control: options, rest: own } = controlIn(values)
  const wanted = await wantedRun(target, own)
  const environment = realEnvironment({ seed: 0 })
  const control = startControl(environment, {
    ...options,
    start: async (task, given) => {
      checkNames(task, given)
      return await launch({
        task: trainCommands[task].task(given as never) as Task,
        allowFaults: options.allowFaults ?? false,
      })
    },
  })
  const { url, pageUrl, token } = control
  console.log(values.json ? JSON.stringify({ url, pageUrl, token }) : `dashboard: ${pageUrl}`)
  if (wanted)
    control.plane.add(await launch({ ...wanted, allowFaults: options.allowFaults ?? false }))
  return await untilStopped(control, values.quiet === true)
}

/** Those of scripts that no command line has. */
const ownNames = ['resume', 'flip', 'auxiliary']

/** Over HTTP nobody else would notice a name that is misspelt. Throws `OptionError`. */
function checkNames(task: keyof typeof trainCommands, given: object): void {
  const { table } = trainCommands[task]
  const known = [...Object.keys(camelCased(asValues(table))), ...ownNames]
  const name = Object.keys(given).find((each) => !known.includes(each))
  if (name !== undefined) {
    const meant = nearest(name, known)
    const advice = meant === undefined ? `there are ${known.join(', ')}` : `did you mean ${meant}?`
    throw new OptionError(`${name}: ${task} has no such option; ${advice}`)
  }
  const required = Object.entries(table).find(
    ([each, { isRequired }]) => isRequired && !(each in given) && !('resume' in given),
  )
  if (required) throw new OptionError(`${required[0]}: it is missing; give ${required[1].value}`)
}

function asValues(table: OptionTable): OptionValues {
  return Object.fromEntries(Object.keys(table).map((name) => [name, true]))
}

function tableOf(target: string | undefined): OptionTable {
  if (!isTask(target)) return {}
  const { quiet: _, ...table } = trainCommands[target].table
  return table
}

function isTask(target: string | undefined): target is keyof typeof trainCommands {
  return target !== undefined && Object.hasOwn(trainCommands, target)
}

async function wantedRun(
  target: string | undefined,
  { quiet: _quiet, json: _json, ...values }: ReturnType<typeof readOptions>,
): Promise<LaunchOptions | undefined> {
  if (target === undefined) return undefined
  if (isTask(target)) return { task: givenTo(trainCommands[target] as never, values).task as Task }
  const loaded = (await import(pathToFileURL(resolve(target)).href).catch((cause: unknown) => {
    const names = Object.keys(trainCommands).join(', ')
    throw new UsageError(
      `up ${target}: no task (${names}), and no script that can be loaded: ${cause}`,
    )
  })) as { readonly default?: Partial<LaunchOptions & Task> }
  const exported = loaded.default
  if (exported?.open) return { task: exported as Task }
  if (exported?.task) return exported as LaunchOptions
  throw new UsageError(`up ${target}: its default export is neither a task nor what launch takes`)
}

/** The first Ctrl-C checkpoints and stops the run that is under way, the second ends at once. */
async function untilStopped(control: ControlPlane, isQuiet: boolean): Promise<number> {
  const { plane } = control
  const writer = progressWriterFor(isQuiet)
  const stopped = Promise.withResolvers<void>()
  const shown = new WeakSet<RunBook>()
  const show = async (book: RunBook): Promise<void> => {
    for await (const event of book.run.events()) writer.show(event)
    writer.close()
  }
  const showNew = (): void => {
    const { current } = plane
    if (!current || shown.has(current)) return
    shown.add(current)
    void show(current)
  }
  showNew()
  plane.onRun(showNew)
  let isStopping = false
  const stop = (): void => {
    if (isStopping) process.exit(130)
    isStopping = true
    writer.show({ type: 'note', message: 'stopping (Ctrl-C again ends at once)' })
    stopped.resolve()
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  await stopped.promise
  const run: Run | undefined = plane.current?.run
  await run?.stop()
  writer.close()
  await control.stop()
  return 0
}
