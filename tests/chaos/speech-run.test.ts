// Whole runs with real processes: what a kill, a hang or a stop may and may not do.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  launch,
  type SpeechReport,
  type RunEvent,
  RunInUseError,
  RunStoppedError,
  type SpeechOptions,
  speech,
} from '../../actors/index.ts'
import { completeOptions } from '../../actors/speech/options.ts'
import { startSpeechRun } from '../../actors/speech/run.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-runs-'))
beforeAll(() => makeTinyDigits(`${folder}/digits`))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let runs = 0
function options(changes: Partial<SpeechOptions> = {}): SpeechOptions {
  runs += 1
  return {
    data: `${folder}/digits`,
    out: `${folder}/run-${runs}`,
    strings: [60, 20, 20],
    crossEntropyEpochs: 2,
    epochs: 1,
    hidden: [16],
    snr: 10,
    batchUtterances: 4,
    shards: 2,
    ...changes,
  }
}

async function runToEnd(given: SpeechOptions): Promise<SpeechReport> {
  await using run = await launch({ task: speech(given) })
  return await run.done
}

/** The run ended by itself only if each shard had applied each step of each phase; counts must agree too. */
function expectWhole({ updates, errorRate }: SpeechReport): void {
  expect(updates.acknowledged).toBe(updates.applied)
  expect(updates.applied).toBeGreaterThan(100)
  expect(errorRate.final.words).toBeGreaterThan(50)
}

test('a trainer and a shard killed by SIGKILL: the run ends, nothing lost, both are back and reported', async () => {
  const undisturbed = await runToEnd(options())
  const report = await runToEnd(options({ chaos: 'kill:trainer@20%,kill:shard@60%' }))
  expectWhole(report)
  expect(report.updates.applied).toBe(undisturbed.updates.applied)
  const causes = report.restarts.map(({ actor, cause }) => [actor.split('-')[0], cause])
  expect(causes.sort()).toEqual([
    ['shard', 'killed by SIGKILL'],
    ['trainer', 'killed by SIGKILL'],
  ])
  for (const { recoveredMs } of report.restarts) expect(recoveredMs).toBeLessThan(10_000)
}, 60_000)

test('a trainer loses its device, its successor hangs past its deadline: the run ends as if nothing had been', async () => {
  // One trainer in hard-sync: every number is that of an undisturbed run.
  const calm = { policy: 'hard-sync', workers: 1, stepSeconds: 5 } as const
  const undisturbed = await runToEnd(options(calm))
  const given = options({ ...calm, chaos: 'fault:trainer@40%,hang:trainer-0@70%' })
  const deaths: RunEvent[] = []
  await using run = await launch({ task: speech(given) })
  for await (const event of run.events()) if (event.type === 'death') deaths.push(event)
  const report = await run.done
  expectWhole(report)
  expect(report.updates.applied).toBe(undisturbed.updates.applied)
  expect(report.errorRate).toEqual(undisturbed.errorRate)
  const onCpu = { actor: 'trainer-0', device: 'cpu', isDeviceFault: true }
  expect(deaths).toMatchObject([
    { ...onCpu, cause: expect.stringContaining('DeviceError: cpu is lost: ') },
    { ...onCpu, cause: expect.stringMatching(/DeadlineError: .* no step within 5000 ms$/) },
  ])
  const successors = deaths.map(({ type: _, ...death }) => ({ ...death, nextDevice: 'cpu' }))
  expect(report.restarts).toMatchObject(successors)
  for (const { recoveredMs } of report.restarts) expect(recoveredMs).toBeLessThan(10_000)
}, 60_000)

test('a trainer whose device cannot be opened moves to the next, and its task with it', async () => {
  // Past `launch`, which would refuse it before anything starts.
  const foreign = process.platform === 'win32' ? 'coreml' : 'dml:0'
  const complete = completeOptions(options({ device: `${foreign},cpu`, devicePolicy: 'next' }))
  const moves: RunEvent[] = []
  const run = startSpeechRun({
    environment: realEnvironment({ seed: 1 }),
    options: complete,
    emit: (event) => void (event.type === 'device' && moves.push(event)),
    workerModule: new URL('../../actors/worker.ts', import.meta.url).href,
    computeModule: new URL('../../actors/speech/compute-thread.ts', import.meta.url).href,
    threads: 1,
  })
  const report = await run.done
  expectWhole(report)
  // The other trainer had the CPU from the start: the first device belongs to one process.
  expect(moves).toEqual([{ type: 'device', actor: 'trainer-0', device: 'cpu', reason: 'moved' }])
  const { restarts } = report
  expect(restarts).toHaveLength(1)
  expect(restarts[0]).toMatchObject({
    actor: 'trainer-0',
    device: foreign,
    nextDevice: 'cpu',
    isDeviceFault: true,
    cause: expect.stringContaining(`DeviceError: ${foreign} could not be opened: `),
  })
}, 60_000)

test('a device that is not there is refused before anything starts, with the reason', async () => {
  const foreign = process.platform === 'win32' ? 'coreml' : 'dml:0'
  const given = options({ device: foreign, workers: 1 })
  const refused = launch({ task: speech(given) })
  expect(refused).rejects.toThrow(`device ${foreign}: only on `)
  await refused.catch(() => {})
  expect(existsSync(given.out ?? '')).toBe(false)
}, 60_000)

test('hard-sync with a killed trainer ends with staleness 0', async () => {
  const report = await runToEnd(options({ policy: 'hard-sync', chaos: 'kill:trainer@40%' }))
  expectWhole(report)
  expect(report.staleness.max).toBe(0)
}, 60_000)

test('one trainer in hard-sync gives the same errors every time', async () => {
  const given = { policy: 'hard-sync', workers: 1 } as const
  const [first, second] = [await runToEnd(options(given)), await runToEnd(options(given))]
  expect(first.errorRate).toEqual(second.errorRate)
}, 60_000)

test('gradients as int8 and lattices made by a process of their own: the run ends', async () => {
  const report = await runToEnd(
    options({ codec: 'int8', latticeWorkers: 1, policy: 'ssp:4', chaos: 'kill:lattices@90%' }),
  )
  expectWhole(report)
}, 60_000)

test('stop writes a checkpoint and leaves no process; resume ends the run, each step applied once', async () => {
  const given = options({ crossEntropyEpochs: 4 })
  const run = await launch({ task: speech(given) })
  const failure = run.done.catch((error: unknown) => error)
  for await (const event of run.events()) {
    if (event.type === 'progress' && event.phase === 'cross-entropy' && event.done > 5) break
  }
  await run.stop()
  expect(await failure).toBeInstanceOf(RunStoppedError)
  expect(workersOf(process.pid)).toEqual([])
  const undisturbed = await runToEnd(options({ crossEntropyEpochs: 4 }))
  const resumed = await runToEnd({ ...given, resume: true })
  expectWhole(resumed)
  expect(resumed.updates.applied).toBe(undisturbed.updates.applied)
}, 60_000)

test('a run that was killed, stopped and resumed goes on without a refused life; nobody else may have it', async () => {
  const chaos = 'kill:shard-0@15%,kill:trainer-0@20%,kill:shard-1@30%,kill:shard-0@40%'
  const given = options({ crossEntropyEpochs: 4, chaos })
  const run = await launch({ task: speech(given) })
  const failure = run.done.catch((error: unknown) => error)
  let recovered = 0
  for await (const event of run.events()) {
    if (event.type === 'recovered') recovered += 1
    if (recovered === 4) break
  }
  const second = await launch({ task: speech({ ...given, resume: true }) })
  expect(await second.done.catch((error: unknown) => error)).toBeInstanceOf(RunInUseError)
  await run.stop()
  expect(await failure).toBeInstanceOf(RunStoppedError)
  const { chaos: _, ...calm } = given
  const resumed = await runToEnd({ ...calm, resume: true })
  expectWhole(resumed)
  // Those of the former life; the new one needed none.
  const died = resumed.restarts.map(({ actor }) => actor).sort()
  expect(died).toEqual(['shard-0', 'shard-0', 'shard-1', 'trainer-0'])
}, 60_000)

test('when the control process is killed its workers end by themselves, and resume ends the run', async () => {
  const given = options({ crossEntropyEpochs: 4 })
  const script = join(import.meta.dir, 'fixtures/speech-run.ts')
  const control = Bun.spawn([process.execPath, script, JSON.stringify(given)], {
    stdout: 'pipe',
    stderr: 'inherit',
  })
  let seen = ''
  for await (const chunk of control.stdout) {
    seen += new TextDecoder().decode(chunk)
    if (/"progress","phase":"cross-entropy"/.test(seen)) break
  }
  const workers = workersOf(control.pid)
  expect(workers.length).toBeGreaterThan(2)
  control.kill('SIGKILL')
  await control.exited
  const deadline = performance.now() + 15_000
  while (workers.some(isAlive) && performance.now() < deadline) await Bun.sleep(50)
  expect(workers.filter(isAlive)).toEqual([])
  expectWhole(await runToEnd({ ...given, resume: true }))
}, 60_000)

test.each(['trainer-1', 'shard-0'])(
  '%s that hangs is killed and replaced',
  async (actor) => {
    // hard-sync: no round ends without it.
    const given = { policy: 'hard-sync', chaos: `stop:${actor}@70%`, crossEntropyEpochs: 3 }
    const report = await runToEnd(options(given))
    expectWhole(report)
    expect(report.restarts.map((restart) => restart.actor)).toEqual([actor])
  },
  60_000,
)

/** Processes of the pool, whose parent this is. */
function workersOf(parent: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [stat, command] = [readProcess(pid, 'stat'), readProcess(pid, 'cmdline')]
      return stat.split(') ')[1]?.split(' ')[1] === `${parent}` && command.includes('worker.ts')
    })
}

function isAlive(pid: number): boolean {
  const state = readProcess(pid, 'stat').split(') ')[1]?.[0]
  return state !== undefined && state !== 'Z'
}

// A process may end while it is looked at.
function readProcess(pid: number, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
