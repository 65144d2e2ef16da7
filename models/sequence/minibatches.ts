// What a step number means: which frames or which utterances. A pure function of the seed, so a
// successor recomputes exactly the step that its predecessor lost, and a resumed run needs no more.
import { assert } from '../../protocol/assert.ts'
import { randomFor, shuffle } from '../../protocol/random.ts'

/** Frames of a corpus in a new order each epoch, cut into minibatches; the last may be smaller. */
export interface FrameBatches {
  readonly stepsPerEpoch: number
  /** Global frame numbers of a step; valid until the next call. */
  framesOf(sequence: number): Uint32Array
}

export function frameBatches(options: {
  seed: number
  frameCount: number
  batchFrames: number
}): FrameBatches {
  const { seed, frameCount, batchFrames } = options
  assert(frameCount > 0 && batchFrames > 0, 'a corpus has frames and a minibatch holds some')
  const stepsPerEpoch = Math.ceil(frameCount / batchFrames)
  const order = new Uint32Array(frameCount)
  let orderEpoch = -1
  return {
    stepsPerEpoch,
    framesOf(sequence) {
      const epoch = Math.floor(sequence / stepsPerEpoch)
      if (epoch !== orderEpoch) {
        for (let i = 0; i < frameCount; i++) order[i] = i
        shuffle(order, randomFor(seed, 'frames', epoch))
        orderEpoch = epoch
      }
      const start = (sequence % stepsPerEpoch) * batchFrames
      return order.subarray(start, start + batchFrames)
    },
  }
}

/** Utterances grouped by similar length, the groups in a new order each epoch. */
export interface UtteranceBatches {
  readonly stepsPerEpoch: number
  utterancesOf(sequence: number): readonly number[]
}

export function utteranceBatches(options: {
  seed: number
  /** Frames of each utterance. */
  lengths: readonly number[]
  batchUtterances: number
}): UtteranceBatches {
  const { seed, lengths, batchUtterances } = options
  assert(
    lengths.length > 0 && batchUtterances > 0,
    'a corpus has utterances and a batch holds some',
  )
  const stepsPerEpoch = Math.ceil(lengths.length / batchUtterances)
  let batches: number[][] = []
  let batchesEpoch = -1
  return {
    stepsPerEpoch,
    utterancesOf(sequence) {
      const epoch = Math.floor(sequence / stepsPerEpoch)
      if (epoch !== batchesEpoch) {
        batches = batchesOfEpoch(randomFor(seed, 'utterances', epoch), lengths, batchUtterances)
        batchesEpoch = epoch
      }
      const batch = batches[sequence % stepsPerEpoch]
      assert(batch !== undefined, 'every step of an epoch has a batch')
      return batch
    },
  }
}

// Lengths are jittered before sorting so that a batch does not hold the same neighbours every epoch.
function batchesOfEpoch(
  random: ReturnType<typeof randomFor>,
  lengths: readonly number[],
  batchUtterances: number,
): number[][] {
  const keyed = lengths.map((length, index) => ({ index, key: length * (1 + 0.1 * random.next()) }))
  keyed.sort((a, b) => a.key - b.key || a.index - b.index)
  const batches: number[][] = []
  for (let start = 0; start < keyed.length; start += batchUtterances) {
    batches.push(keyed.slice(start, start + batchUtterances).map(({ index }) => index))
  }
  return shuffle(batches, random)
}
