// The commands: options in, a run, its progress, its table and an exit status out.

import { realEnvironment } from '../../runtime/index.ts'
import { decodeFolder } from '../decode.ts'
import { startDemo } from '../demo/demo.ts'
import type { RunEvent } from '../events.ts'
import { launch, type Run, speech } from '../launch.ts'
import { resumedOptions } from '../run-record.ts'
import type { SpeechOptions } from '../speech-options.ts'
import { decodeOptions, demoOptions, trainSpeechOptions } from './commands.ts'
import { formatCtm } from './ctm.ts'
import { helpOf, type OptionValues, readOptions } from './options.ts'
import { progressWriter } from './progress.ts'
import { reportTable } from './report-table.ts'

export async function trainSpeechCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe train speech --data DIR [options]', trainSpeechOptions))
    return 0
  }
  const { resume, quiet, ...rest } = readOptions(resumable(args), args)
  const given = camelCased(rest) as unknown as SpeechOptions
  const disk = realEnvironment({ seed: 0 }).disk
  const options =
    typeof resume === 'string'
      ? { ...resumedOptions(disk, resume), ...given, resume: true, out: resume }
      : given
  const show = shower(quiet === true)
  return await follow(await launch({ task: speech(options) }), show)
}

// A resumed run knows its data.
function resumable(args: readonly string[]) {
  const { data, ...others } = trainSpeechOptions
  if (!data) return trainSpeechOptions
  const isResumed = args.some((arg) => arg.startsWith('--resume'))
  return { data: { ...data, isRequired: !isResumed }, ...others }
}

export async function demoCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe demo [options]', demoOptions))
    return 0
  }
  const { seed, out, report, quiet } = readOptions(demoOptions, args)
  const show = shower(quiet === true)
  const run = await startDemo({
    seed: typeof seed === 'number' ? seed : 1,
    ...(typeof out === 'string' && { out }),
    ...(typeof report === 'string' && { report }),
    emit: show,
  })
  return await follow(run, show)
}

export async function decodeCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe decode --model FILE --data DIR [--ctm FILE]', decodeOptions))
    return 0
  }
  const { model, data, ctm } = readOptions(decodeOptions, args)
  const { utterances, errorRate, skipped } = await decodeFolder({
    model: String(model),
    data: String(data),
  })
  for (const { id, words } of utterances) console.log(`${id} ${words.join(' ')}`)
  for (const { name, reason } of skipped) console.error(`skipped ${name}: ${reason}`)
  const { percent, insertions, deletions, substitutions, words, low, high } = errorRate
  console.error(
    `${percent.toFixed(2)} % word errors (95 % interval ${low.toFixed(2)} - ${high.toFixed(2)}): ` +
      `${insertions} insertions, ${deletions} deletions, ${substitutions} substitutions of ${words} words`,
  )
  if (typeof ctm === 'string') {
    const text = new TextEncoder().encode(formatCtm(utterances))
    realEnvironment({ seed: 0 }).disk.write(ctm, text)
  }
  return 0
}

/** Shows a run until it ends. The first Ctrl-C checkpoints and stops it, the second ends at once. */
async function follow(run: Run, show: (event: RunEvent) => void): Promise<number> {
  let isStopping = false
  const onInterrupt = (): void => {
    if (isStopping) process.exit(130)
    isStopping = true
    show({ type: 'note', message: 'stopping: writing a checkpoint (Ctrl-C again ends at once)' })
    void run.stop()
  }
  process.on('SIGINT', onInterrupt)
  process.on('SIGTERM', onInterrupt)
  for await (const event of run.events()) show(event)
  const report = await run.done
  console.log(reportTable(report))
  return 0
}

function shower(quiet: boolean): (event: RunEvent) => void {
  if (quiet) return () => {}
  const { isTTY, columns = 80 } = process.stderr
  const colour = isTTY === true && process.env.NO_COLOR === undefined
  const style = { columns, colour, interactive: isTTY === true }
  const writer = progressWriter((text) => void process.stderr.write(text), style)
  return (event) => writer.show(event)
}

function camelCased(values: OptionValues): OptionValues {
  const camel = (name: string) =>
    name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [camel(name), value]))
}
