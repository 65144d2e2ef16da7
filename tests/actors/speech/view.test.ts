// What is shown of scores that say nothing stays within its bounds.
import { expect, test } from 'bun:test'
import { insightLimits } from '../../../actors/insight.ts'
import { decodingGraph, pdfCount, phones, words } from '../../../actors/speech/graph.ts'
import { viewUtterance } from '../../../actors/speech/view.ts'
import { decoder } from '../../../models/sequence/decoder.ts'
import { randomFor } from '../../../protocol/random.ts'

const recogniser = {
  decoder: decoder(decodingGraph(-12), pdfCount),
  pdfs: pdfCount,
  words,
  phones,
  statesPerPhone: 3,
  acousticScale: 0.3,
}

test.each([0, 0.3, 3])(
  'noise of deviation %p gives a lattice that can be drawn, and words as decoded',
  (deviation) => {
    const random = randomFor('view', deviation)
    const scores = Float32Array.from({ length: 400 * pdfCount }, () => deviation * random.normal())
    const view = viewUtterance(scores, recogniser)
    expect(view.frames).toBe(400)
    expect(view.arcs.length).toBeGreaterThan(0)
    expect(view.arcs.length).toBeLessThanOrEqual(insightLimits.arcsMax)
    const options = { acousticScale: recogniser.acousticScale, beam: 60 }
    const decoded = recogniser.decoder.decode(scores, options)!
    // Of equally good paths either may be shown.
    if (deviation > 0) expect(view.hypothesis).toEqual(decoded.map(({ word }) => words[word]!))
    expect(view.confidence).toBeGreaterThan(0)
    expect(view.confidence).toBeLessThanOrEqual(1)
  },
)

test('scores that are no numbers give nothing, and no error', () => {
  const scores = new Float32Array(20 * pdfCount).fill(Number.NaN)
  expect(viewUtterance(scores, recogniser)).toMatchObject({ frames: 20, words: [], arcs: [] })
})
