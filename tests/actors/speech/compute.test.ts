// A trainer's step, whole: features and alignments from files, ONNX graphs, decoder, criterion.
import { describe, expect, test } from 'bun:test'
import type { StepRequest, StepResult } from '../../../actors/trainer.ts'
import { speechCompute } from '../../../actors/speech/compute.ts'
import { pdfCount, transcriptGraph } from '../../../actors/speech/graph.ts'
import { recipes } from '../../../actors/speech/plan.ts'
import {
  encodeAlignments,
  featuresPath,
  type SequencesPhase,
  type SpeechTask,
} from '../../../actors/speech/task.ts'
import { DeviceError } from '../../../models/device-faults.ts'
import { acousticNetwork } from '../../../models/networks/acoustic.ts'
import { initialise, layoutOf } from '../../../models/parameters.ts'
import { viterbiAligner } from '../../../models/sequence/alignment.ts'
import { encodeFeatureStore } from '../../../models/sequence/feature-store.ts'
import { randomFor } from '../../../protocol/random.ts'
import { simulatedDisk } from '../../../runtime/simulation/disk.ts'
import { virtualClock } from '../../../runtime/simulation/virtual-clock.ts'

const DIMS = 3
const FRAMES = 40
const network = { inputs: DIMS, hidden: [5], outputs: pdfCount }
const layout = layoutOf(acousticNetwork({ ...network, nonlinearity: 'relu' }).parameters)
const task: SpeechTask = { folder: 'corpus', seed: 1, network, threads: 1 }

function openCompute() {
  const random = randomFor('compute')
  const disk = simulatedDisk()
  const transcripts = [
    ['one', 'two'],
    ['nine', 'zero'],
  ]
  const entries = transcripts.map((words, index) => ({
    id: `u${index}`,
    speaker: 's',
    words,
    features: {
      rows: Float32Array.from({ length: FRAMES * DIMS }, () => random.normal()),
      frames: FRAMES,
      dims: DIMS,
    },
  }))
  const align = viterbiAligner()
  const alignments = transcripts.map((words) => {
    const values = Float32Array.from({ length: FRAMES * pdfCount }, () => random.normal())
    const outcome = align(transcriptGraph(words), { values, pdfs: pdfCount, scale: 1 })
    if (!outcome.aligned) throw new Error(outcome.reason)
    return outcome.alignment
  })
  const store = Buffer.concat([...encodeFeatureStore(entries, { dims: DIMS, context: 0 })])
  disk.write(featuresPath('corpus', 'train'), store)
  disk.write('corpus/alignments', encodeAlignments(alignments))
  const compute = speechCompute({ disk, clock: virtualClock() })
  compute.open(task)
  return compute
}

function parametersOf(scale: number): Float32Array {
  const parameters = initialise(layout, randomFor('parameters'))
  return parameters.map((value) => scale * value)
}

const request = (
  kind: StepRequest['kind'],
  configuration: unknown,
  parameters: Float32Array,
): StepRequest => ({
  phase: 1,
  kind,
  sequence: 0,
  configuration,
  parameters,
  gradient: new Float32Array(layout.count),
})

function sequences(criterion: SequencesPhase['criterion']): SequencesPhase {
  return {
    ...recipes[criterion].phase,
    // Its loss is not part of the reported one.
    crossEntropyWeight: 0,
    alignments: 'alignments',
    batchUtterances: 2,
    beam: 1_000,
    latticeBeam: 1_000,
  }
}
const frames = { alignments: 'alignments', batchFrames: 2 * FRAMES }

const cases = [
  ['frames', frames],
  ...(['mmi', 'bmmi', 'mpfe', 'mwe', 'smbr'] as const).map(
    (criterion) => ['sequences', sequences(criterion)] as const,
  ),
] as const
const nameOf = (configuration: object): string =>
  'criterion' in configuration ? String(configuration.criterion) : 'cross-entropy'

describe('the gradient of a step is the derivative of its loss', () => {
  for (const [kind, configuration] of cases) {
    test(`${nameOf(configuration)}, by central differences through network, lattice and criterion`, async () => {
      const compute = openCompute()
      const parameters = parametersOf(2)
      const loss = async (at: Float32Array): Promise<number> =>
        (await compute.step(request(kind, configuration, at))).loss
      const whole = request(kind, configuration, parameters)
      const { nonFinite } = await compute.step(whole)
      expect(nonFinite).toBe(0)
      const size = Math.hypot(...whole.gradient)
      expect(size).toBeGreaterThan(1e-4)
      // Along the gradient and along directions by chance: float32 activations allow no finer look.
      const random = randomFor('directions')
      const directions = [
        whole.gradient.map((value) => value / size),
        ...[1, 2, 3].map(() =>
          Float32Array.from({ length: layout.count }, () => random.normal() / layout.count ** 0.5),
        ),
      ]
      for (const direction of directions) {
        const along = (step: number) => parameters.map((value, i) => value + step * direction[i]!)
        const step = 2e-3
        const difference = ((await loss(along(step))) - (await loss(along(-step)))) / (2 * step)
        const expected = direction.reduce((sum, value, i) => sum + value * whole.gradient[i]!, 0)
        expect(Math.abs(difference - expected)).toBeLessThan(0.02 * size)
      }
    })
  }
})

test('a lost device fails every step from then on, by name', async () => {
  const compute = openCompute()
  const [kind, configuration] = cases[0]!
  const step = () => compute.step(request(kind, configuration, parametersOf(1)))
  await step()
  compute.fail('fault')
  for (let again = 0; again < 2; again++) {
    const failure = await step().catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(DeviceError)
    expect(failure).toMatchObject({ device: 'cpu', fault: 'lost' })
  }
})

describe('a step whose activations overflow gives a zero gradient and is counted', () => {
  for (const [kind, configuration] of cases) {
    test(nameOf(configuration), async () => {
      const made = request(kind, configuration, parametersOf(1e25))
      made.gradient.fill(1)
      const result: StepResult = await openCompute().step(made)
      expect(made.gradient.every((value) => value === 0)).toBe(true)
      expect(result.nonFinite).toBeGreaterThan(0)
      expect(result.loss).toBe(10)
    })
  }
})
