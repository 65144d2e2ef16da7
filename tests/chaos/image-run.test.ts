// Whole image runs with real processes: what a kill may and may not do.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ImageOptions,
  type ImageReport,
  image,
  launch,
  RunStoppedError,
} from '../../actors/index.ts'
import { makeTinyImages, tinyClasses } from '../tiny-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-images-'))
beforeAll(async () => {
  await makeTinyImages(`${folder}/train`, { perClass: 24 })
  await makeTinyImages(`${folder}/test`, { perClass: 8 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let runs = 0
function options(changes: Partial<ImageOptions> = {}): ImageOptions {
  runs += 1
  return {
    data: `${folder}/train`,
    test: `${folder}/test`,
    out: `${folder}/run-${runs}`,
    epochs: 8,
    batch: 8,
    pad: 2,
    averageDecay: 0.9,
    learningRate: 0.02,
    ...changes,
  }
}

async function runToEnd(given: ImageOptions): Promise<ImageReport> {
  await using run = await launch({ task: image(given) })
  return await run.done
}

test('two replicas learn to tell stripes from checks, while a trainer and a shard are killed: nothing lost', async () => {
  const report = await runToEnd(options({ chaos: 'kill:trainer@30%,kill:shard@60%' }))
  const steps = 8 * 9
  expect(report.updates).toMatchObject({ acknowledged: 2 * steps, applied: 2 * steps })
  expect(report.restarts.map(({ actor, cause }) => [actor.split('-')[0], cause]).sort()).toEqual([
    ['shard', 'killed by SIGKILL'],
    ['trainer', 'killed by SIGKILL'],
  ])
  expect(report.classes).toEqual([...tinyClasses])
  expect(report.images).toEqual({ train: 72, test: 24 })
  // By chance: 33 %.
  expect(report.accuracy.top1).toBeGreaterThan(80)
}, 60_000)

test('one trainer in hard-sync: a run that is stopped and resumed ends with the numbers of one that was not', async () => {
  const calm = { policy: 'hard-sync', workers: 1, epochs: 3 } as const
  const undisturbed = await runToEnd(options(calm))
  const given = options(calm)
  const run = await launch({ task: image(given) })
  for await (const event of run.events()) {
    if (event.type === 'progress' && event.phase === 'images' && event.done > 6) break
  }
  await run.stop()
  await expect(run.done).rejects.toThrow(RunStoppedError)
  const resumed = await runToEnd({ ...given, resume: true })
  expect(resumed.accuracy).toEqual(undisturbed.accuracy)
  expect(resumed.updates.applied).toBe(undisturbed.updates.applied)
}, 60_000)
