// What people look at of an image run, whole and cut into subnetworks, while it trains and after it.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ImageOptions,
  type ImageReport,
  image,
  launch,
  type RunEvent,
  type RunInsight,
  UnknownIdError,
  UnreadableError,
} from '../../actors/index.ts'
import { insightLimits, type Timeline } from '../../actors/insight.ts'
import { decodeImage } from '../../models/images/decode.ts'
import { openImageStore } from '../../models/images/image-store.ts'
import { makeTinyImages, tinyClasses } from '../tiny-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-image-insight-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

interface Looked {
  readonly report: ImageReport
  readonly insight: RunInsight
}

async function look(
  changes: Partial<ImageOptions>,
  during: (event: RunEvent, insight: RunInsight) => Promise<void>,
): Promise<Looked> {
  await using run = await launch({
    task: image({
      data: `${folder}/train`,
      test: `${folder}/test`,
      batch: 8,
      pad: 2,
      averageDecay: 0.9,
      learningRate: 0.02,
      ...changes,
    }),
  })
  for await (const event of run.events()) {
    const insight = run.insight()
    if (insight) await during(event, insight)
  }
  return { report: await run.done, insight: run.insight()! }
}

const early: (string | undefined)[] = []
const timelines: Timeline[] = []
let whole: Looked
let cut: Looked

beforeAll(async () => {
  await makeTinyImages(`${folder}/train`, { perClass: 24 })
  await makeTinyImages(`${folder}/test`, { perClass: 8 })
  whole = await look({ out: `${folder}/whole`, epochs: 3 }, async (event, { image: shown }) => {
    if (event.type === 'accuracy') early.push((await shown!.confusion())?.model)
  })
  const options = { out: `${folder}/cut`, epochs: 3, subnetworks: 2, microBatches: 2 }
  cut = await look(options, async (event, { pipeline }) => {
    if (event.type === 'progress' && event.phase === 'images') {
      timelines.push(await pipeline!.timeline())
    }
  })
}, 90_000)

test('the confusion matrix sums to the test set, and its diagonal to top-1', async () => {
  const confusion = (await whole.insight.image!.confusion())!
  if (confusion.type !== 'matrix') throw new Error('few classes are shown whole')
  const { counts, images, correct, classes } = confusion
  expect(classes).toEqual([...tinyClasses])
  expect(images).toBe(24)
  // Eight of each label.
  expect(counts.map((row) => row.reduce((sum, count) => sum + count, 0))).toEqual([8, 8, 8])
  expect(counts.reduce((sum, row, label) => sum + row[label]!, 0)).toBe(correct)
  expect((100 * correct) / images).toBeCloseTo(whole.report.accuracy.top1, 9)
  expect(early.length).toBeGreaterThan(1)
})

test('samples show each test image once, as it was counted, with probabilities that sum to 1', async () => {
  const { samples } = (await whole.insight.image!.samples())!
  const confusion = (await whole.insight.image!.confusion())!
  expect(samples.map(({ index }) => index).sort((a, b) => a - b)).toEqual([...Array(24).keys()])
  expect(samples.filter(({ isCorrect }) => isCorrect)).toHaveLength(confusion.correct)
  for (const { label, isCorrect, top } of samples) {
    expect(top[0]!.label === label).toBe(isCorrect)
    expect(top.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 5)
  }
})

test('a test image is shown as it is in the store; another number is refused', async () => {
  const shown = whole.insight.image!
  const store = openImageStore(readFileSync(`${folder}/whole/images/test.images`))
  const png = await shown.imagePng(5)
  expect(await decodeImage(png, { size: store.size })).toEqual(new Uint8Array(store.image(5)))
  for (const index of [-1, 24, 0.5]) {
    const error = await shown.imagePng(index).catch((cause: unknown) => cause)
    expect(error).toBeInstanceOf(UnknownIdError)
  }
})

test('an image that is sent is classified as the same image of the test set', async () => {
  const shown = whole.insight.image!
  const { samples } = (await shown.samples())!
  for (const { index, top } of samples.slice(0, 4)) {
    const sent = await shown.classify(await shown.imagePng(index))
    expect(sent.top.map(({ label }) => label)).toEqual(top.map(({ label }) => label))
    expect(sent.top[0]!.probability).toBeCloseTo(top[0]!.probability, 4)
  }
  const text = new TextEncoder().encode('no image at all')
  const error = await shown.classify(text).catch((cause: unknown) => cause)
  expect(error).toBeInstanceOf(UnreadableError)
})

test('spans of one stage follow each other without a gap, and say how long it was idle', async () => {
  timelines.push(await cut.insight.pipeline!.timeline())
  const full = timelines.filter(({ missing, stages }) => missing.length === 0 && stages.length > 0)
  expect(full.length).toBeGreaterThan(0)
  for (const { durationMs, stages, spans } of full) {
    expect(stages).toHaveLength(4)
    expect(durationMs).toBeLessThanOrEqual(insightLimits.timelineMs)
    for (const { stage, replica, idleShare } of stages) {
      const own = spans.filter((span) => span.stage === stage && span.replica === replica)
      const inRow = own.filter(({ kind }) => kind !== 'push').sort((a, b) => a.from - b.from)
      let at = 0
      for (const { from, to } of inRow) {
        expect(from).toBeCloseTo(at, 6)
        expect(to).toBeGreaterThan(from)
        at = to
      }
      expect(at).toBeCloseTo(durationMs, 6)
      const waited = inRow.filter(({ kind }) => kind === 'wait')
      const idleMs = waited.reduce((sum, { from, to }) => sum + to - from, 0)
      expect(idleShare).toBeCloseTo(idleMs / durationMs, 6)
    }
  }
  const kinds = new Set(
    full.flatMap(({ spans }) => spans.map(({ stage, kind }) => `${stage} ${kind}`)),
  )
  expect([...kinds].sort()).toEqual([
    '0 backward',
    '0 forward',
    '0 push',
    '0 wait',
    '1 both',
    '1 push',
    '1 wait',
  ])
})
