import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { completeOptions } from '../../../actors/speech/options.ts'
import { planSpeech } from '../../../actors/speech/plan.ts'
import { optimizerOf, parseOptimizer } from '../../../models/optimizers/index.ts'

const corpora = fc.record({
  frames: fc.integer({ min: 1, max: 3_000 }),
  utterances: fc.integer({ min: 1, max: 300 }),
})
const options = fc.record({
  criterion: fc.constantFrom('ce' as const, 'bmmi' as const, 'smbr' as const),
  control: fc.boolean(),
  epochs: fc.integer({ min: 0, max: 4 }),
  crossEntropyEpochs: fc.integer({ min: 1, max: 6 }),
  batchFrames: fc.integer({ min: 1, max: 4_000 }),
})

test('every plan has steps, an optimizer that can be built, and a cross-entropy model to report', () => {
  fc.assert(
    fc.property(options, corpora, (given, corpus) => {
      const plan = planSpeech(completeOptions({ data: 'digits', ...given }), corpus)
      for (const { start } of plan) {
        expect(start.steps).toBeGreaterThan(0)
        expect(optimizerOf(parseOptimizer(start.optimizer))).toBeDefined()
      }
      const yields = plan.map((part) => part.yields)
      expect(yields.filter((model) => model === 'crossEntropy')).toHaveLength(1)
      const hasSequence = given.criterion !== 'ce' && given.epochs > 0
      expect(yields.includes('sequence')).toBe(hasSequence)
      expect(yields.includes('control')).toBe(given.control && given.epochs > 0)
    }),
  )
})

test('phases count up: a shard never goes back', () => {
  fc.assert(
    fc.property(options, corpora, (given, corpus) => {
      const phases = planSpeech(completeOptions({ data: 'digits', ...given }), corpus).map(
        ({ start }) => start.phase,
      )
      expect(phases).toEqual([...new Set(phases)].sort((a, b) => a - b))
    }),
  )
})

test('the control makes as many passes over the data as sequence training', () => {
  const given = completeOptions({ data: 'digits', control: true, epochs: 3 })
  const plan = planSpeech(given, { frames: 10_000, utterances: 100 })
  const passes = (name: string) =>
    plan.filter((part) => part.name === name).map((part) => part.start.steps / part.stepsPerEpoch)
  expect(passes('control')).toEqual([3])
  expect(passes('sequence')).toEqual([3])
})
