// A run that is steered from a script while it trains, with real processes.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type ImageOptions,
  image,
  launch,
  NotPossibleError,
  OptionError,
  type RunEvent,
  RunStoppedError,
} from '../../actors/index.ts'
import { openShardStore } from '../../actors/shard-store.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { makeTinyImages } from '../tiny-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-steered-'))
beforeAll(async () => {
  await makeTinyImages(`${folder}/train`, { perClass: 24 })
  await makeTinyImages(`${folder}/test`, { perClass: 8 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const options: ImageOptions = {
  data: `${folder}/train`,
  test: `${folder}/test`,
  out: `${folder}/run no. 1`,
  epochs: 14,
  batch: 8,
  pad: 2,
  learningRate: 0.02,
  schedule: 'constant',
}
const steps = options.epochs! * 9

/** What a shard has on disk, looked at in a copy: opening it makes it ours. */
function givenOut(member: string, length: number) {
  const copy = `${folder}/copy-${member}`
  cpSync(`${options.out}/shards/${member}`, copy, { recursive: true })
  const { disk } = realEnvironment({ seed: 1 })
  const store = openShardStore(disk, { folder: copy, length, incarnation: 2 ** 20 })
  const { applied, held } = store.shard
  store.close()
  const below = Array.from({ length: applied.below }, (_, step) => step)
  const steps = [...below, ...applied.above, ...held.keys()].sort((a, b) => a - b)
  return { steps, held: [...held.keys()] }
}

test('a run is paused, adjusted, given a worker, relieved of another, drained and resumed: nothing is lost', async () => {
  const run = await launch({ task: image(options) })
  expect(run.id).toMatch(/^run-no-1/)
  expect(run.state).toBe('preparing')
  await expect(run.pause()).rejects.toThrow(NotPossibleError)
  await expect(run.adjust({ learningRate: 1 })).rejects.toThrow('preparing')
  const seen: RunEvent[] = []
  const waiting = new Set<{
    readonly is: (event: RunEvent) => boolean
    readonly heard: () => void
  }>()
  const until = (is: (event: RunEvent) => boolean): Promise<void> =>
    new Promise((heard) => void waiting.add({ is, heard }))
  const reading = (async () => {
    for await (const event of run.events()) {
      seen.push(event)
      for (const one of waiting) {
        if (!one.is(event)) continue
        waiting.delete(one)
        one.heard()
      }
    }
  })()
  const isProgress = (event: RunEvent) => event.type === 'progress' && event.phase === 'images'

  await until(isProgress)
  await run.pause()
  expect(run.state).toBe('paused')
  expect(run.system?.member).toBe('control')
  await expect(run.pause()).rejects.toThrow('paused already')
  await expect(run.adjust({ policy: 'sometimes' })).rejects.toThrow(OptionError)
  const adjusted = await run.adjust({ learningRate: 0.01, policy: 'hard-sync' })
  for (const { learningRate, policy } of adjusted) {
    expect(learningRate).toBeCloseTo(0.01, 9)
    expect(policy).toBe('hard-sync')
  }
  expect(await run.addWorker()).toBe('trainer-2')
  await run.checkpoint()
  await run.restartWorker('trainer-1')
  await run.resume()
  expect(run.state).toBe('training')
  await until((event) => isProgress(event) && 'team' in event && event.team?.length === 3)
  await run.removeWorker('trainer-0')
  await run.kill('trainer-2')
  await until(({ type }) => type === 'recovered')
  const members = run.members().map(({ name, role, isRemovable }) => [name, role, isRemovable])
  expect(members.sort()).toEqual([
    ['shard-0', 'shard', false],
    ['shard-1', 'shard', false],
    ['trainer-1', 'trainer', true],
    ['trainer-2', 'trainer', true],
  ])
  const shards = await run.shards()
  expect(shards).toMatchObject([
    { member: 'shard-0', offset: 0, policy: 'hard-sync', optimizer: 'momentum' },
    { member: 'shard-1', policy: 'hard-sync', trainers: ['trainer-1', 'trainer-2'] },
  ])
  await run.drain()
  expect(run.state).toBe('stopped')
  await expect(run.done).rejects.toThrow(RunStoppedError)
  await expect(run.resume()).rejects.toThrow(NotPossibleError)
  await reading
  const steered = seen.flatMap((event) => (event.type === 'steered' ? [event.what] : []))
  expect(steered).toEqual([
    'paused',
    'adjusted',
    'added',
    'checkpoint',
    'restarted',
    'resumed',
    'removed',
    'killed',
    'draining',
  ])
  expect(seen.filter(({ type }) => type === 'death')).toHaveLength(1)
  expect(seen.filter(({ type }) => type === 'note')).toEqual([])

  // Every step that was given out is applied, or waits in every shard for the rest of its round.
  const [one, other] = shards.map(({ member, length }) => givenOut(member, length))
  expect(one).toEqual(other)
  expect(one!.steps).toEqual(Array.from({ length: one!.steps.length }, (_, step) => step))
  expect(one!.held.length).toBeLessThan(2)

  await using resumed = await launch({ task: image({ ...options, resume: true }) })
  expect(resumed.id).not.toBe(run.id)
  const report = await resumed.done
  expect(resumed.state).toBe('finished')
  expect(report.updates.applied).toBe(2 * steps)
  expect(report.updates.acknowledged).toBe(2 * steps)
}, 120_000)
