// One part of a network for inference, in a process of its own: it computes its part of a batch and passes
// the batch on with the question, so that the last part answers the asker.
import { PredictMessage } from '../../../protocol/prediction.ts'
import { type Infer, optional, plain, ref, struct } from '../../../protocol/schema.ts'
import type { Tensor } from '../../../protocol/tensor.ts'
import { type ActorDefinition, next, type Outcome } from '../../../runtime/actor.ts'
import type { ComputeThread } from '../../../runtime/environment.ts'
import type { Batch } from './part-compute.ts'

export const PredictPartConfig = struct({
  /** The part after this one; absent in the last. */
  after: optional(ref<PredictMessage>()),
  /** Handed to the compute thread's `openPart`: `PartToPredict`. */
  part: plain,
})
export type PredictPartConfig = Infer<typeof PredictPartConfig>

type Message =
  | PredictMessage
  | { readonly type: 'opened'; readonly outcome: Outcome<unknown> }
  | {
      readonly type: 'computed'
      readonly asked: PredictMessage
      readonly outcome: Outcome<Batch>
    }

interface Part {
  readonly config: PredictPartConfig
  readonly compute: ComputeThread
  /** What came, where the compute thread can read it: not in use, by size. */
  readonly idle: SharedArrayBuffer[]
}

/** `computeModule` calls `serveCompute` with the methods `openPart` and `predictPart`. */
export function predictPart(
  computeModule: string,
): ActorDefinition<PredictPartConfig, Part, Message> {
  return {
    kind: 'predict-part',
    protocol: PredictMessage,
    config: PredictPartConfig,
    start(config, { environment, pipe }) {
      const compute = environment.compute.start(computeModule)
      pipe(compute.call('openPart', config.part), (outcome) => ({ type: 'opened', outcome }))
      return { config, compute, idle: [] }
    },
    receive(part, message, { pipe, forward, refuse }) {
      const { compute, config } = part
      if (message.type === 'predict') {
        const { shared, release } = share(part, message)
        // The thread serves calls in order, so batches keep theirs.
        const computed = compute.call('predictPart', shared) as Promise<Batch>
        computed.then(release, release)
        pipe(computed, (outcome) => ({ type: 'computed', asked: message, outcome }))
        return next(part)
      }
      if (message.type === 'opened') {
        if (!message.outcome.ok) throw message.outcome.error
        return next(part)
      }
      const { asked, outcome } = message
      // Of the batch, not of this part: the next one may be good.
      if (!outcome.ok) refuse(asked, 'refused', outcome.error.message)
      else if (!config.after) asked.replyTo.tell(outcome.value.values)
      else {
        const passed = forward(config.after, {
          type: 'predict',
          ...outcome.value,
          replyTo: asked.replyTo,
        })
        if (passed === 'accepted') return next(part)
        refuse(asked, passed === 'full' ? 'overloaded' : 'unreachable', `the next part: ${passed}`)
      }
      return next(part)
    },
  }
}

/** Batches that wait for the thread keep a buffer each; more of them than this are not kept for the next. */
const IDLE_MAX = 16

/** One plain copy: a call would make two, into fresh memory. */
function share({ idle }: Part, { values, places }: Batch) {
  const used: SharedArrayBuffer[] = []
  const shared = values.map((tensor): Tensor => {
    const { byteLength } = tensor.bytes
    const at = idle.findIndex((buffer) => buffer.byteLength === byteLength)
    const buffer = at < 0 ? new SharedArrayBuffer(byteLength) : idle.splice(at, 1)[0]!
    used.push(buffer)
    const bytes = new Uint8Array(buffer)
    bytes.set(tensor.bytes)
    return { ...tensor, bytes }
  })
  const release = (): void => {
    for (const buffer of used) if (idle.length < IDLE_MAX) idle.push(buffer)
  }
  const batch: Batch = { values: shared, ...(places && { places }) }
  return { shared: batch, release }
}
