// The script API: `launch({ task: speech({ ... }) })` starts a run with its processes and hands back
// its events and its report.
import { type Environment, realEnvironment } from '../runtime/index.ts'
import { checkDevices } from './devices.ts'
import type { ControlOptions, ControlPlane } from './control/serve.ts'
import type { RunEvent } from './events.ts'
import { completeImageOptions, type ImageOptions } from './image/options.ts'
import { startImageRun } from './image/run.ts'
import { completeModelOptions, type ModelOptions } from './model/options.ts'
import { startModelRun } from './model/run.ts'
import type { GivenOptions, Run } from './run/launched.ts'
import type { ImageReport, ModelReport, Report, SpeechReport } from './report.ts'
import type { RunHandle } from './run/life.ts'
import type { RunOptions } from './run/options.ts'
import { resumedOptions } from './run/record.ts'
import type { RunWorld } from './run/world.ts'
import { completeOptions, type SpeechOptions } from './speech/options.ts'
import { startSpeechRun } from './speech/run.ts'

export type { GivenOptions, Run }

/** What a run trains, with the options it was given. */
export interface Task<R extends Report = Report> {
  readonly name: R['task']
  readonly options: GivenOptions
  /** Completes the options; throws `OptionError`. */
  open(given: GivenOptions): OpenedTask<R>
}

export interface OpenedTask<R extends Report> {
  readonly options: RunOptions
  start(world: Omit<RunWorld, 'options' | 'computeModule'>): RunHandle<R>
}

/** A speech recogniser for the digits: cross-entropy, then the sequence criterion. */
export const speech = (options: SpeechOptions): Task<SpeechReport> =>
  taskOf(options, {
    name: 'speech',
    computeModule: './speech/compute-thread.ts',
    complete: completeOptions,
    start: startSpeechRun,
  })

/** An image classifier: a network of subnetworks, whole or each in a process of its own. */
export const image = (options: ImageOptions): Task<ImageReport> =>
  taskOf(options, {
    name: 'image',
    computeModule: './image/compute-thread.ts',
    complete: completeImageOptions,
    start: startImageRun,
  })

/** A model that somebody else made, fine-tuned on your rows or images. */
export const model = (options: ModelOptions): Task<ModelReport> =>
  taskOf(options, {
    name: 'model',
    computeModule: './model/compute-thread.ts',
    complete: completeModelOptions,
    start: startModelRun,
  })

function taskOf<Given extends GivenOptions, Complete extends RunOptions, R extends Report>(
  options: Given,
  row: {
    readonly name: R['task']
    readonly computeModule: string
    readonly complete: (given: Given) => Complete
    readonly start: (world: RunWorld<Complete>) => RunHandle<R>
  },
): Task<R> {
  const computeModule = new URL(row.computeModule, import.meta.url).href
  return {
    name: row.name,
    options,
    open(given) {
      // `launch` hands back what the task was given, and what all tasks take.
      const complete = row.complete(given as Given)
      return {
        options: complete,
        start: (world) => row.start({ ...world, options: complete, computeModule }),
      }
    },
  }
}

export interface LaunchOptions<R extends Report = Report> {
  readonly task: Task<R>
  readonly workers?: number
  readonly shards?: number
  /** An HTTP control plane beside the run; `Run.url` says where. Default: none. */
  readonly control?: Partial<ControlOptions>
  /** Links may be broken on request. Default: where the control plane may. */
  readonly allowFaults?: boolean
  readonly out?: string
  readonly report?: string
  readonly chaos?: string
  readonly seed?: number
  /** Default: the real one. */
  readonly environment?: Environment
}

export async function launch<R extends Report>(launchOptions: LaunchOptions<R>): Promise<Run<R>> {
  const { task, control: wanted, environment: given, allowFaults: _, ...rest } = launchOptions
  const { disk } = given ?? realEnvironment({ seed: 0 })
  const said: GivenOptions = { ...task.options, ...rest }
  // A resumed run has the options it had.
  const had = said.resume === true && said.out !== undefined ? resumedOptions(disk, said.out) : {}
  const opened = task.open({ ...had, ...said })
  const { options } = opened
  const environment = given ?? realEnvironment({ seed: options.seed })
  await checkDevices(options.device, { environment })
  const control = wanted && (await controlOf(environment, wanted, options.out))
  const readers = new Set<EventQueue>()
  const run = opened.start({
    environment,
    emit: (event) => {
      for (const reader of readers) reader.put(event)
    },
    workerModule: new URL('./worker.ts', import.meta.url).href,
    threads: 2,
    allowFaults: launchOptions.allowFaults ?? wanted?.allowFaults ?? false,
  })
  const done = run.done.then((report) => {
    const json = new TextEncoder().encode(`${JSON.stringify(report, null, 2)}\n`)
    environment.disk.write(`${options.out}/report.json`, json)
    if (options.report) environment.disk.write(options.report, json)
    for (const reader of readers) reader.put({ type: 'finished', report })
    return report
  })
  const endReaders = (): void => {
    for (const reader of readers) reader.end()
  }
  done.then(endReaders, endReaders)
  const launched: Run<R> = {
    ...run,
    get state() {
      return run.state
    },
    get system() {
      return run.system
    },
    task: task.name,
    options,
    url: control?.url,
    pageUrl: control?.pageUrl,
    done: control ? done.finally(() => control.stop()) : done,
    events() {
      const reader = eventQueue(() => readers.delete(reader))
      readers.add(reader)
      return reader
    },
    [Symbol.asyncDispose]: run.stop,
  }
  launched.done.catch(() => {})
  control?.plane.add(launched)
  return launched
}

/** Loaded by whoever wants one: a script without it does without its libraries. */
async function controlOf(
  environment: Environment,
  { port = 0, ...wanted }: Partial<ControlOptions>,
  out: string,
): Promise<ControlPlane> {
  const { startControl } = await import('./control/serve.ts')
  return startControl(environment, { ...wanted, port, out })
}

interface EventQueue extends AsyncIterable<RunEvent> {
  put(event: RunEvent): void
  end(): void
}

const EVENTS_MAX = 10_000

/** A bounded queue: above its limit progress is dropped, never a death, a result or a note. */
function eventQueue(onReturn: () => void): EventQueue {
  let waiting: RunEvent[] = []
  let ended = false
  let wake: () => void = () => {}
  return {
    put(event) {
      if (waiting.length >= EVENTS_MAX) waiting = waiting.filter(({ type }) => type !== 'progress')
      if (waiting.length < EVENTS_MAX) waiting.push(event)
      wake()
    },
    end() {
      ended = true
      wake()
    },
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const events = waiting
          waiting = []
          yield* events
          if (waiting.length > 0) continue
          if (ended) return
          await new Promise<void>((resolve) => {
            wake = resolve
          })
        }
      } finally {
        onReturn()
      }
    },
  }
}
