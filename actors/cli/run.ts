// The commands: options in, a run, its progress, its table and an exit status out.
import { dirname } from 'node:path'
import type { ErrorRate } from '../../models/sequence/error-rate.ts'
import { type Disk, realEnvironment } from '../../runtime/index.ts'
import { startDemo } from '../demo/demo.ts'
import { listDevices } from '../devices.ts'
import type { ImageOptions } from '../image/options.ts'
import { image, launch, model, type Run, speech, type Task } from '../launch.ts'
import type { ModelOptions } from '../model/options.ts'
import type { ControlOptions } from '../control/serve.ts'
import type { ImageReport, ModelReport, Report, SpeechReport } from '../report.ts'
import { decodeFolder } from '../speech/decode.ts'
import type { SpeechOptions } from '../speech/options.ts'
import { decodeOptions, demoOptions, devicesOptions, trainSpeechOptions } from './commands.ts'
import { deviceTable } from './device-table.ts'
import { formatCtm } from './ctm.ts'
import { trainImageOptions, trainModelOptions } from './image-commands.ts'
import {
  helpOf,
  type OptionTable,
  type OptionValue,
  type OptionValues,
  readOptions,
  UsageError,
} from './options.ts'
import { type ProgressWriter, progressWriterFor } from './progress.ts'
import { reportTable } from './report-table.ts'
import { controlIn } from './control-options.ts'
import { controlOptions } from './run-options.ts'

const speechCommand: TrainCommand<SpeechReport> = {
  usage: 'troupe train speech --data DIR [options]',
  table: trainSpeechOptions,
  task: (values) => speech(values as unknown as SpeechOptions),
}

const imageCommand: TrainCommand<ImageReport> = {
  usage: 'troupe train image --data DIR [options]',
  table: trainImageOptions,
  task({ noFlip, noAuxiliary, ...values }) {
    const flags = { ...(noFlip && { flip: false }), ...(noAuxiliary && { auxiliary: false }) }
    return image({ ...values, ...flags } as unknown as ImageOptions)
  },
}

const modelCommand: TrainCommand<ModelReport> = {
  usage: 'troupe train model --model FILE --data PATH [options]',
  table: trainModelOptions,
  task: (values) => model(values as unknown as ModelOptions),
}

export const trainCommands = {
  speech: speechCommand,
  image: imageCommand,
  model: modelCommand,
} as const

export const trainSpeechCommand = (args: readonly string[]) => trainCommand(args, speechCommand)
export const trainImageCommand = (args: readonly string[]) => trainCommand(args, imageCommand)
export const trainModelCommand = (args: readonly string[]) => trainCommand(args, modelCommand)

async function trainCommand<R extends Report>(
  args: readonly string[],
  command: TrainCommand<R>,
): Promise<number> {
  const table = { ...command.table, ...controlOptions }
  if (args.includes('--help')) {
    console.log(helpOf(command.usage, table))
    return 0
  }
  const { quiet, ...rest } = readOptions(resumable(table, args), args)
  const { control, task } = givenTo(command, rest)
  const writer = progressWriterFor(quiet === true)
  const run = await launch({ task, control })
  // Who is quiet and wants a port wants to know which.
  if (quiet === true && rest.port !== undefined) console.error(`dashboard: ${run.pageUrl}`)
  return await follow(run, writer)
}

export interface TrainCommand<R extends Report> {
  readonly usage: string
  readonly table: OptionTable
  readonly task: (values: OptionValues) => Task<R>
}

/** What the values of a command line make: a task, and a control plane beside it. */
export function givenTo<R extends Report>(
  command: TrainCommand<R>,
  { resume, ...values }: OptionValues,
): { readonly task: Task<R>; readonly control: ControlOptions } {
  const { control, rest } = controlIn(values)
  const given = camelCased(rest)
  if (typeof resume === 'string' && given.out !== undefined && given.out !== resume) {
    throw new UsageError('--out: a resumed run stays in its folder; leave it out')
  }
  checkWritable(given.report)
  const options = typeof resume === 'string' ? { ...given, resume: true, out: resume } : given
  return { task: command.task(options), control }
}

// A resumed run knows its data, and its model.
function resumable(table: OptionTable, args: readonly string[]): OptionTable {
  const isResumed = args.some((arg) => arg.startsWith('--resume'))
  if (!isResumed) return table
  const rows = Object.entries(table).map(([name, row]) => [name, { ...row, isRequired: false }])
  return Object.fromEntries(rows)
}

export async function demoCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe demo [options]', { ...demoOptions, ...controlOptions }))
    return 0
  }
  const { control, rest } = controlIn(readOptions({ ...demoOptions, ...controlOptions }, args))
  const { seed, out, report, quiet } = rest
  const writer = progressWriterFor(quiet === true)
  checkWritable(report)
  const run = await startDemo({
    seed: typeof seed === 'number' ? seed : 1,
    control,
    ...(typeof out === 'string' && { out }),
    ...(typeof report === 'string' && { report }),
    emit: writer.show,
  }).finally(writer.close)
  return await follow(run, writer)
}

export async function decodeCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe decode --model FILE --data DIR [--ctm FILE]', decodeOptions))
    return 0
  }
  const { model, data, ctm, strings, snr, seed } = readOptions(decodeOptions, args)
  checkWritable(ctm)
  const { utterances, errorRate, skipped, notes } = await decodeFolder({
    model: String(model),
    data: String(data),
    ...(typeof strings === 'number' && { strings }),
    ...(typeof snr === 'number' && { snr }),
    ...(typeof seed === 'number' && { seed }),
  })
  for (const note of notes) console.error(note)
  for (const { id, words } of utterances) console.log([id, ...words].join(' '))
  for (const { name, reason } of skipped) console.error(`skipped ${name}: ${reason}`)
  if (errorRate) console.error(errorLine(errorRate))
  if (typeof ctm === 'string') {
    const text = new TextEncoder().encode(formatCtm(utterances))
    realDisk().write(ctm, text)
  }
  return 0
}

export async function devicesCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe devices [--json]', devicesOptions))
    return 0
  }
  const { json } = readOptions(devicesOptions, args)
  const devices = await listDevices({ environment: realEnvironment({ seed: 0 }) })
  console.log(json === true ? JSON.stringify(devices, null, 2) : deviceTable(devices))
  return 0
}

function errorLine(errorRate: ErrorRate): string {
  const { percent, insertions, deletions, substitutions, words, low, high } = errorRate
  return (
    `${percent.toFixed(2)} % word errors (95 % interval ${low.toFixed(2)} - ${high.toFixed(2)}): ` +
    `${insertions} insertions, ${deletions} deletions, ${substitutions} substitutions of ${words} words`
  )
}

// Now, not after an hour of training: a path that cannot be written is refused before the run.
function checkWritable(path: OptionValue | undefined): void {
  if (typeof path !== 'string') return
  const disk = realDisk()
  disk.makeFolder(dirname(path))
  const isNew = !disk.exists(path)
  disk.append(path).close()
  if (isNew) disk.remove(path)
}

function realDisk(): Disk {
  return realEnvironment({ seed: 0 }).disk
}

/** Shows a run until it ends. The first Ctrl-C checkpoints and stops it, the second ends at once. */
async function follow(run: Run, writer: ProgressWriter): Promise<number> {
  const { clock } = realEnvironment({ seed: 0 })
  let stoppingSince: number | undefined
  const onInterrupt = (): void => {
    if (stoppingSince !== undefined) {
      // One Ctrl-C may come twice: from the terminal, and passed on by whoever started us.
      if (clock.now() - stoppingSince > ECHO_MS) process.exit(130)
      return
    }
    stoppingSince = clock.now()
    writer.show({
      type: 'note',
      message: 'stopping: writing a checkpoint (Ctrl-C again ends at once)',
    })
    void run.stop()
  }
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  try {
    let isAnnounced = run.pageUrl === undefined
    for await (const event of run.events()) {
      // Not before: a run that fails at once has none to look at.
      if (!isAnnounced) writer.show({ type: 'note', message: `dashboard: ${run.pageUrl}` })
      isAnnounced = true
      writer.show(event)
    }
  } finally {
    writer.close()
  }
  const report = await run.done
  console.log(reportTable(report))
  return 0
}

const ECHO_MS = 500

export function camelCased(values: OptionValues): OptionValues {
  const camel = (name: string) =>
    name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [camel(name), value]))
}
