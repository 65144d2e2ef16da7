// The demo: makes its own corpus, trains on it with a trainer and a shard killed on the way, and shows
// what happened. Everything it needs is drawn from the seed.
import { type Environment, realEnvironment } from '../../runtime/index.ts'
import type { ControlOptions } from '../control/serve.ts'
import type { RunEvent } from '../events.ts'
import { launch, type Run, speech } from '../launch.ts'
import type { SpeechReport } from '../report.ts'
import { inParts } from '../part-work.ts'
import { planVoices } from './synthetic-digits.ts'

export interface DemoOptions {
  readonly seed: number
  /** Default: the first free `runs/demo-N`. */
  readonly out?: string
  readonly report?: string
  readonly emit: (event: RunEvent) => void
  /** Default: none. */
  readonly control?: Partial<ControlOptions>
}

const VOICES = 24
const TAKES = 6

export async function startDemo({
  seed,
  out,
  report,
  emit,
  control,
}: DemoOptions): Promise<Run<SpeechReport>> {
  const environment = realEnvironment({ seed })
  const folder = out ?? freeFolder(environment)
  const data = `${folder}/digits`
  await synthesise(environment, { seed, data, emit })
  return await launch({
    environment,
    ...(control && { control }),
    task: speech({
      data,
      out: folder,
      ...(report !== undefined && { report }),
      seed,
      criterion: 'bmmi',
      workers: 2,
      shards: 2,
      snr: 0,
      strings: [1_600, 300, 600],
      crossEntropyEpochs: 5,
      epochs: 4,
      chaos: 'kill:trainer@45%,kill:shard@75%',
    }),
  })
}

async function synthesise(
  { clock, disk, compute }: Environment,
  { seed, data, emit }: { seed: number; data: string; emit: (event: RunEvent) => void },
): Promise<void> {
  const begun = clock.now()
  disk.makeFolder(data)
  const plans = planVoices(seed, VOICES)
  const total = plans.length
  emit({ type: 'phase', phase: 'synthesise', total, unit: 'voices' })
  const module = new URL('./digits-thread.ts', import.meta.url).href
  const threads = [compute.start(module), compute.start(module)]
  await inParts<number>(threads, {
    total,
    partSize: 1,
    work: (thread, { from }) =>
      thread.call('speak', { folder: data, plan: plans[from], takes: TAKES }),
    take: (_, { to }) => emit({ type: 'progress', phase: 'synthesise', done: to, total }),
  })
  for (const thread of threads) thread.close()
  const seconds = (clock.now() - begun) / 1_000
  emit({ type: 'phase-ended', phase: 'synthesise', seconds })
}

function freeFolder({ disk }: Environment): string {
  for (let number = 1; ; number++) {
    const folder = `runs/demo-${number}`
    if (!disk.exists(folder)) return folder
  }
}
