// Inference through a pipeline: the parts of one model file in processes of their own, batches on their way
// through them at the same time. The first part is asked; the last one answers.
import type { Cuts } from '../../../models/networks/cut.ts'
import type { PredictMessage } from '../../../protocol/prediction.ts'
import type { Tensor } from '../../../protocol/tensor.ts'
import type { Environment, Pool, System } from '../../../runtime/index.ts'
import { patiently } from '../../parameter-client.ts'
import type { PartToPredict } from './part-compute.ts'

export interface PredictPipelineOptions {
  readonly system: System
  /** Its module serves the kind 'predict-part'. */
  readonly pool: Pool
  /** Path of an .onnx file with one input. */
  readonly model: string
  /** Processes, and parts that the network is cut into. */
  readonly parts: number
  /** As `balanceCuts` found them; absent: by multiply-adds. */
  readonly cuts?: Cuts
  /** Of the processes, which are numbered. Default 'predict'. */
  readonly name?: string
  /** Of each process. Default 1. */
  readonly threads?: number
  /** A part's process keeps dying. */
  readonly onGaveUp?: (cause: string) => void
}

export interface PredictPipeline {
  /**
   * What the network makes of a batch: its outputs in their order. Waits for its turn while too many are on their way; a batch whose
   * process dies goes through again. Throws `AskError`, `refused` where the network cannot take the batch.
   */
  predict(batch: Tensor): Promise<readonly Tensor[]>
  stop(): Promise<void>
}

const limits = { askTimeoutMs: 120_000, retryDelayMs: 50, retriesMax: 200 }

export function startPredictPipeline(options: PredictPipelineOptions): PredictPipeline {
  const { system, pool, model, parts, cuts, threads = 1 } = options
  const { clock, disk } = system.environment
  const folder = memoryFolder(system.environment, options.name ?? 'predict')
  const nameOf = (index: number): string => `${options.name ?? 'predict'}-${index}`
  const refOf = (index: number) => ({ member: nameOf(index), path: '/part' })
  const workers = Array.from({ length: parts }, (_, index) => {
    const part: Omit<PartToPredict, 'incarnation'> = {
      model,
      index,
      parts,
      threads,
      ...(cuts && { cuts }),
      ...(folder !== undefined && { folder }),
    }
    const after = index + 1 < parts ? { after: refOf(index + 1) } : {}
    return pool.start({
      name: nameOf(index),
      actors: (incarnation) => [
        {
          kind: 'predict-part',
          name: 'part',
          config: { part: { ...part, incarnation }, ...after },
        },
      ],
      onEvent(event) {
        if (event.type === 'gave-up') options.onGaveUp?.(`${nameOf(index)}: ${event.cause}`)
      },
    })
  })
  const first = system.ref<PredictMessage>(refOf(0))
  const turns = createTurns(parts + 1)
  return {
    predict: (values) =>
      turns(() =>
        patiently(clock, limits, () => {
          const asked = { type: 'predict', values: [values] } as const
          return system.ask(first, asked, { timeoutMs: limits.askTimeoutMs })
        }),
      ),
    async stop() {
      await Promise.all(workers.map((worker) => worker.stop()))
      if (folder !== undefined) disk.remove(folder)
    },
  }
}

/** The answers to all batches, in their order. */
export async function predictThroughPipeline(
  options: PredictPipelineOptions & { readonly batches: readonly Tensor[] },
): Promise<readonly (readonly Tensor[])[]> {
  const pipeline = startPredictPipeline(options)
  try {
    return await Promise.all(options.batches.map(pipeline.predict))
  } finally {
    await pipeline.stop()
  }
}

/** So many at a time, the others in the order in which they came. */
function createTurns(most: number) {
  const waiting: (() => void)[] = []
  let running = 0
  return async <T>(run: () => Promise<T>): Promise<T> => {
    if (running >= most) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await run()
    } finally {
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}

/** Files here are memory, on Linux. */
const MEMORY = '/dev/shm'

/** A folder of this pipeline, where the platform has one; those of owners that are gone are removed. */
function memoryFolder({ disk, processes }: Environment, name: string): string | undefined {
  if (!disk.share || !disk.exists(MEMORY)) return undefined
  for (const entry of disk.list(MEMORY)) {
    const [, owner] = /^troupe-([\d_]+)-/.exec(entry) ?? []
    const isGone = owner !== undefined && !processes.isAlive(owner.replace('_', ' '))
    if (isGone) disk.remove(`${MEMORY}/${entry}`)
  }
  const folder = `${MEMORY}/troupe-${processes.self.replace(' ', '_')}-${name}`
  disk.makeFolder(folder)
  return folder
}
