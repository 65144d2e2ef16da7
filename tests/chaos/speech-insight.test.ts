// What people look at of a speech run, while it trains and after it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  BusyError,
  launch,
  openTranscriber,
  type RunEvent,
  type SpeechInsight,
  type SpeechReport,
  speech,
  UnknownIdError,
  UnreadableError,
} from '../../actors/index.ts'
import { insightLimits, type LatticeShown, type UtteranceShown } from '../../actors/insight.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

type Of<Type extends RunEvent['type']> = Extract<RunEvent, { type: Type }>

const folder = mkdtempSync(join(tmpdir(), 'troupe-insight-'))
const early: LatticeShown[] = []
const evaluated: Of<'evaluated'>[] = []
const transcripts: Of<'transcripts'>[] = []
let report: SpeechReport
let insight: SpeechInsight
let utterances: readonly UtteranceShown[]

const options = (out: string) =>
  speech({
    data: `${folder}/digits`,
    out,
    strings: [60, 20, 20],
    crossEntropyEpochs: 2,
    epochs: 2,
    hidden: [16],
    snr: 10,
    batchUtterances: 4,
  })

beforeAll(async () => {
  makeTinyDigits(`${folder}/digits`)
  await using run = await launch({
    task: options(`${folder}/run`),
  })
  for await (const event of run.events()) {
    if (event.type === 'evaluated' && event.set === 'development') evaluated.push(event)
    if (event.type !== 'transcripts') continue
    transcripts.push(event)
    early.push(await run.insight()!.speech!.lattice(event.sample[0]!.id))
  }
  report = await run.done
  insight = run.insight()!.speech!
  utterances = await insight.utterances()
}, 60_000)
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('the transcripts are what the error counts of the last evaluation were made of', () => {
  const { model, errorRate } = evaluated.at(-1)!
  const { insertions, deletions, substitutions, words } = errorRate
  expect(utterances).toHaveLength(20)
  expect(new Set(utterances.map((utterance) => utterance.model))).toEqual(new Set([model]))
  const errors = utterances.reduce((sum, utterance) => sum + (utterance.errors ?? Number.NaN), 0)
  expect(errors).toBe(insertions + deletions + substitutions)
  expect(utterances.flatMap(({ reference }) => reference)).toHaveLength(words)
})

test('every evaluation shows a sample of the same strings, as they are listed', () => {
  expect(transcripts.map(({ model }) => model)).toEqual(evaluated.map(({ model }) => model))
  const listed = new Map(utterances.map((utterance) => [utterance.id, utterance]))
  const [first, last] = [transcripts[0]!, transcripts.at(-1)!]
  expect(first.sample.map(({ id }) => id)).toEqual(last.sample.map(({ id }) => id))
  expect(last.sample).toHaveLength(insightLimits.transcriptsMax)
  for (const transcript of last.sample) expect(listed.get(transcript.id)).toMatchObject(transcript)
})

function expectSound(shown: LatticeShown): void {
  const { frames, frameMs, states, arcs, hypothesis, words, alignment } = shown
  const seconds = (frames * frameMs) / 1_000
  expect(arcs.length).toBeLessThanOrEqual(insightLimits.arcsMax)
  expect([states[0]!.time, states.at(-1)!.time]).toEqual([0, seconds])
  for (let t = 0; t < frames; t++) {
    const now = (t + 0.5) * (frameMs / 1_000)
    const over = arcs.filter(({ from, to }) => states[from]!.time < now && now < states[to]!.time)
    expect(over.reduce((sum, { posterior }) => sum + posterior, 0)).toBeCloseTo(1, 6)
  }
  expect(bestPath(shown)).toEqual([...hypothesis])
  expect(words.map(({ word }) => word)).toEqual([...hypothesis])
  for (const level of ['phone', 'state'] as const) {
    const spans = alignment.filter((span) => span.level === level)
    expect(spans.map(({ from }) => from)).toEqual([0, ...spans.slice(0, -1).map(({ to }) => to)])
    expect(spans.at(-1)!.to).toBe(seconds)
  }
}

/** By the sums of scores, as whoever draws it would find it. */
function bestPath({ states, arcs }: LatticeShown): string[] {
  const best = new Map<number, { score: number; words: string[] }>([[0, { score: 0, words: [] }]])
  for (const { from, to, word, score } of arcs) {
    const before = best.get(from)!
    const reached = before.score + score
    if (reached <= (best.get(to)?.score ?? Number.NEGATIVE_INFINITY)) continue
    best.set(to, { score: reached, words: word === '' ? before.words : [...before.words, word] })
  }
  return best.get(states.length - 1)!.words
}

test('a lattice sums to 1 at each time and its best path is the hypothesis, while the run trains', () => {
  expect(early.length).toBeGreaterThan(2)
  for (const shown of early) expectSound(shown)
})

test('after the run lattices are of the model that was kept', async () => {
  const kept = report.kept === 'sequence' ? /^sequence/ : /^(cross-entropy|warm-start)/
  for (const { id, reference } of utterances.slice(0, 3)) {
    const shown = await insight.lattice(id)
    expect(shown).toMatchObject({ id, reference })
    expect(shown.model).toMatch(kept)
    expectSound(shown)
  }
})

test('a sound is transcribed by the present model, and alike by the file of the finished one', async () => {
  const audio = readFileSync(`${folder}/digits/7_tiny1_3.wav`)
  const { model, ...heard } = await insight.transcribe(audio)
  const { disk } = realEnvironment({ seed: 1 })
  const transcriber = await openTranscriber({ disk, model: report.model })
  const byFile = await transcriber.transcribe(audio)
  expect(byFile.words).toEqual(heard.words)
  expect(byFile.confidence).toBeCloseTo(heard.confidence, 3)
  expect(heard.times.map(({ word }) => word)).toEqual([...heard.words])
  for (const { from, to, confidence } of heard.times) {
    expect(to).toBeGreaterThan(from)
    expect(confidence).toBeGreaterThan(0)
    expect(confidence).toBeLessThanOrEqual(1)
  }
  expect(model).toBe(`${(await insight.lattice(utterances[0]!.id)).model}`)
  const text = new TextEncoder().encode('no sound at all')
  for (const transcribe of [insight.transcribe, transcriber.transcribe]) {
    expect(await transcribe(text).catch((error: unknown) => error)).toBeInstanceOf(UnreadableError)
  }
})

test('who asks for what is not there, or while many wait, is told so by name', async () => {
  const nobody = await insight.lattice('nobody').catch((error: unknown) => error)
  expect(nobody).toBeInstanceOf(UnknownIdError)
  const { waitingMax } = insightLimits
  const asked = Array.from({ length: waitingMax + 3 }, () => insight.lattice(utterances[0]!.id))
  const outcomes = await Promise.allSettled(asked)
  const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
  expect(refused).toHaveLength(2)
  for (const { reason } of refused) expect(reason).toBeInstanceOf(BusyError)
})

test('a run that was stopped still shows what it had computed', async () => {
  await using run = await launch({ task: options(`${folder}/stopped`) })
  run.done.catch(() => {})
  for await (const event of run.events()) if (event.type === 'transcripts') break
  await run.stop()
  const stopped = run.insight()!.speech!
  const [first] = await stopped.utterances()
  expect(first!.hypothesis).toBeDefined()
  expectSound(await stopped.lattice(first!.id))
}, 30_000)
