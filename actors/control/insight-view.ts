// What there is to look at in a run, as the HTTP API shows it.
import type * as control from '../../protocol/control.ts'
import type { Confusion, LatticeShown, SamplesShown, Timeline, UtteranceShown } from '../insight.ts'

export function showUtterances(all: readonly UtteranceShown[]): control.Utterances {
  const model = all.find((utterance) => utterance.model !== undefined)?.model
  return {
    ...(model !== undefined && { model }),
    utterances: all.map(({ id, set, reference, hypothesis, errors }) => ({
      id,
      set,
      reference: [...reference],
      ...(hypothesis && { hypothesis: [...hypothesis] }),
      ...(errors !== undefined && { errors }),
    })),
  }
}

/** Boundaries so close are one to the eye, in seconds. */
const SAME_SECONDS = 0.04

/** Arcs of one word between the same boundaries are one. */
export function showLattice(lattice: LatticeShown): control.Lattice {
  const { arcs, states } = mergedArcs(lattice)
  return {
    id: lattice.id,
    frames: lattice.frames,
    frameMs: lattice.frameMs,
    reference: [...lattice.reference],
    hypothesis: [...lattice.hypothesis],
    words: lattice.words.map((word) => ({ ...word })),
    alignment: lattice.alignment
      .filter(({ level }) => level === 'phone')
      .map(({ label, from, to }) => ({ label, from, to })),
    states: states.map((time) => ({ time })),
    arcs,
  }
}

function mergedArcs({ arcs, states }: LatticeShown): {
  readonly arcs: control.Lattice['arcs']
  readonly states: readonly number[]
} {
  const timeOf = (state: number): number => states[state]?.time ?? 0
  const boundaries: number[] = []
  const snap = (time: number): number => {
    const near = boundaries.find((each) => Math.abs(each - time) <= SAME_SECONDS)
    if (near !== undefined) return near
    boundaries.push(time)
    return time
  }
  const merged = new Map<
    string,
    { from: number; to: number; word: string; posterior: number; score: number }
  >()
  for (const { word, posterior, score, ...ends } of [...arcs].sort(
    (a, b) => b.posterior - a.posterior,
  )) {
    const [from, to] = [snap(timeOf(ends.from)), snap(timeOf(ends.to))]
    if (from >= to) continue
    const key = `${word} ${from} ${to}`
    const known = merged.get(key)
    if (known) known.posterior = Math.min(1, known.posterior + posterior)
    else merged.set(key, { from, to, word, posterior, score })
  }
  const times = boundaries.sort((a, b) => a - b)
  const place = new Map(times.map((time, state) => [time, state]))
  const shown = [...merged.values()].map(({ from, to, ...arc }) => ({
    ...arc,
    from: place.get(from) ?? 0,
    to: place.get(to) ?? 0,
  }))
  return { arcs: shown, states: times }
}

const PAIRS_MAX = 30

export function showConfusion(confusion: Confusion): control.Confusion {
  const { model, classes } = confusion
  const shared = { model, classes: [...classes] }
  if (confusion.type === 'pairs') {
    const pairs = confusion.pairs.slice(0, PAIRS_MAX)
    return {
      ...shared,
      pairs: pairs.map(({ label, predicted, count }) => ({ label, prediction: predicted, count })),
    }
  }
  const counts = confusion.counts.map((row) => [...row])
  return { ...shared, counts, pairs: worstPairs(counts, classes) }
}

function worstPairs(
  counts: readonly (readonly number[])[],
  classes: readonly string[],
): control.Confusion['pairs'] {
  const nameOf = (index: number): string => classes[index] ?? ''
  return counts
    .flatMap((row, label) => row.map((count, prediction) => ({ label, prediction, count })))
    .filter(({ label, prediction, count }) => label !== prediction && count > 0)
    .sort((a, b) => b.count - a.count)
    .slice(0, PAIRS_MAX)
    .map(({ label, prediction, count }) => ({
      label: nameOf(label),
      prediction: nameOf(prediction),
      count,
    }))
}

export function showSamples({ model, samples }: SamplesShown): control.Samples {
  return {
    model,
    samples: samples.map(({ index, label, top }) => ({
      index,
      label,
      predictions: top.map((each) => ({ ...each })),
    })),
  }
}

/** Milliseconds become seconds. */
export function showTimeline({ durationMs, stages, spans }: Timeline): control.Timeline {
  return {
    seconds: durationMs / 1_000,
    stages: stages.map(({ stage, replica, name, idleShare }) => ({
      replica,
      stage,
      member: name,
      idleShare,
      spans: spans
        .filter((span) => span.stage === stage && span.replica === replica)
        .map(({ kind, minibatch, from, to }) => ({
          kind,
          minibatch,
          from: from / 1_000,
          to: to / 1_000,
        })),
    })),
  }
}
