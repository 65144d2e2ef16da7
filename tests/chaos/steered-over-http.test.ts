// A whole run with real processes, steered over HTTP while it trains: nothing is lost, and it goes on.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, RunStoppedError, speech, type SpeechOptions } from '../../actors/index.ts'
import * as control from '../../protocol/control.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-steered-'))
const clusters = `${folder}/home/clusters`
beforeAll(() => {
  makeTinyDigits(`${folder}/digits`)
  process.env.TROUPE_HOME = `${folder}/home`
})
afterAll(() => {
  delete process.env.TROUPE_HOME
  rmSync(folder, { recursive: true, force: true })
})

const options = (changes: Partial<SpeechOptions>): SpeechOptions => ({
  data: `${folder}/digits`,
  out: `${folder}/run`,
  strings: [60, 20, 20],
  crossEntropyEpochs: 40,
  epochs: 1,
  hidden: [16],
  snr: 10,
  batchUtterances: 4,
  ...changes,
})

test('a run is paused, adjusted, given a worker, robbed of two, drained and resumed: nothing is lost', async () => {
  await using run = await launch({
    task: speech(options({})),
    control: { port: 0, allowFaults: true },
  })
  const token = run.pageUrl!.split('#token=')[1]!
  const ask = async (path: string, method = 'GET', body?: object) =>
    await fetch(`${run.url}${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body && { body: JSON.stringify(body) }),
    })
  const shards = async () => control.Shards.parse(await (await ask('/shards')).json()).shards
  const [file] = readdirSync(clusters)
  expect(statSync(`${clusters}/${file}`).mode & 0o777).toBe(0o600)
  const steps = run.events()[Symbol.asyncIterator]()
  const until = async (wanted: (event: { type: string; phase?: string }) => boolean) => {
    for (;;) {
      const { value, done } = await steps.next()
      if (done) throw new Error('the run ended')
      if (wanted(value)) return
    }
  }
  expect((await ask(`/runs/${run.id}/pause`, 'POST')).status).toBe(409)
  await until(({ type, phase }) => type === 'progress' && phase === 'cross-entropy')

  expect((await ask(`/runs/${run.id}/pause`, 'POST')).status).toBe(200)
  await until(({ type }) => type === 'steered')
  expect(run.state).toBe('paused')
  expect((await ask(`/runs/${run.id}/resume`, 'POST')).status).toBe(200)

  expect((await ask(`/runs/${run.id}`, 'PATCH', { learningRate: 0.0001 })).status).toBe(200)
  const changed = await ask(`/runs/${run.id}`, 'PATCH', { policy: 'hard-sync' })
  expect(control.Run.parse(await changed.json()).policy).toBe('hard-sync')
  const wrong = await ask(`/runs/${run.id}`, 'PATCH', { policy: 'gap-aware' })
  expect(wrong.status).toBe(422)
  for (const { status } of [await ask('/workers', 'POST'), await ask('/workers', 'POST')]) {
    expect(status).toBe(201)
  }
  await until(({ type, phase }) => type === 'progress' && phase === 'cross-entropy')
  const removed = await ask('/workers/trainer-0', 'DELETE')
  expect(removed.status).toBe(200)
  expect((await ask('/workers/shard-0', 'DELETE')).status).toBe(409)
  expect((await ask('/actors/shard-1/kill', 'POST')).status).toBe(200)
  await until(({ type }) => type === 'recovered')
  expect((await ask('/workers/shard-0/restart', 'POST')).status).toBe(200)
  const fault = { target: 'shard-1', fault: 'delay', ms: 20, durationMs: 500 }
  expect((await ask('/faults', 'POST', fault)).status).toBe(200)
  await until(({ type, phase }) => type === 'progress' && phase === 'cross-entropy')
  const adjusted = await shards()
  for (const { learningRate, policy } of adjusted) {
    expect(policy).toBe('hard-sync')
    expect(learningRate).toBeCloseTo(0.0001, 9)
  }
  expect((await ask(`/runs/${run.id}/checkpoint`, 'POST')).status).toBe(200)
  expect((await ask(`/runs/${run.id}/drain`, 'POST')).status).toBe(200)
  await expect(run.done).rejects.toBeInstanceOf(RunStoppedError)
  expect(run.state).toBe('stopped')
  expect(readdirSync(clusters)).toEqual([])

  await using resumed = await launch({ task: speech(options({ resume: true })) })
  const { updates, restarts } = await resumed.done
  expect(updates.applied).toBe(updates.acknowledged)
  // Who was asked to go did not die.
  expect(restarts.map(({ actor }) => actor)).toEqual(['shard-1'])
}, 90_000)
