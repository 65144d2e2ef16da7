// Decoder, lattices and criteria on one core, in times real time (100 frames = 1 s) and arcs a second.
import { decodingGraph, pdfCount } from '../../actors/speech/graph.ts'
import { criterionDefaults, sequenceLoss } from '../../models/sequence/criterion.ts'
import { decoder } from '../../models/sequence/decoder.ts'
import type { Alignment } from '../../models/sequence/decoding-graph.ts'
import { forwardBackward } from '../../models/sequence/forward-backward.ts'
import { randomFor } from '../../protocol/random.ts'
import { type Bench, median, row } from './rows.ts'

const FRAMES = 320
const UTTERANCES = 40
const REPEATS = 5
const TARGET = 50

export const decoderBench: Bench = async () => {
  const graph = decodingGraph(-12)
  const search = decoder(graph, pdfCount)
  const utterances = Array.from({ length: UTTERANCES }, (_, seed) => randomUtterance(seed))
  const options = { acousticScale: 0.5, beam: 60, latticeBeam: 20 }
  const lattices = utterances.map(({ scores }) => search.makeLattice(scores, options)!)
  const arcs = lattices.reduce((sum, { arcTarget }) => sum + arcTarget.length, 0)
  const seconds = (run: () => void): number => {
    run()
    const times = Array.from({ length: REPEATS }, () => {
      const started = performance.now()
      run()
      return (performance.now() - started) / 1000
    })
    return median(times)
  }
  const speech = (UTTERANCES * FRAMES) / 100
  const decode = seconds(() => {
    for (const { scores } of utterances) search.decode(scores, options)
  })
  const make = seconds(() => {
    for (const { scores } of utterances) search.makeLattice(scores, options)
  })
  const sums = seconds(() => {
    for (const lattice of lattices) forwardBackward(lattice, 0.5)
  })
  const criterion = seconds(() => {
    utterances.forEach(({ scores, alignment }, index) => {
      const lattice = lattices[index]!
      const settings = { ...criterionDefaults, acousticScale: 0.5 }
      sequenceLoss('mwe', { lattice, alignment, scores, pdfs: pdfCount, options: settings })
    })
  })
  return [
    row('decode', speech / decode, 'x real time', TARGET),
    row('make lattices', speech / make, 'x real time', TARGET),
    row('forward-backward', speech / sums, 'x real time', TARGET),
    row('forward-backward', arcs / sums / 1e6, 'M arcs/s'),
    row('MWE outer derivative', speech / criterion, 'x real time', TARGET),
    row('lattice density', arcs / (UTTERANCES * FRAMES), 'arcs/frame'),
  ]
}

/** A random walk through the graph and scores that favour its pdfs, as a network's would. */
function randomUtterance(seed: number): { scores: Float32Array; alignment: Alignment } {
  const graph = decodingGraph(0)
  const random = randomFor('bench', seed)
  const alignment = {
    pdfs: new Int32Array(FRAMES),
    phones: new Int32Array(FRAMES),
    words: new Int32Array(FRAMES),
  }
  const scores = Float32Array.from({ length: FRAMES * pdfCount }, () => 1.5 * random.normal())
  let state = graph.start
  for (let t = 0; t < FRAMES; t++) {
    const first = graph.arcOffset[state]!
    // Self-loops first, twice as likely to leave as not, so that words last about as long as real ones.
    const count = graph.arcOffset[state + 1]! - first
    const arc = random.next() < 0.7 ? first : first + random.below(count)
    alignment.pdfs[t] = graph.arcPdf[arc]!
    alignment.phones[t] = graph.arcPhone[arc]!
    alignment.words[t] = graph.arcWord[arc]!
    scores[t * pdfCount + graph.arcPdf[arc]!]! += 4
    state = graph.arcTarget[arc]!
  }
  return { scores, alignment }
}
