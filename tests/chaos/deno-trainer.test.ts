// Runs whose trainers are not all on what runs the control process.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, type SpeechOptions, speech } from '../../actors/index.ts'
import { EngineError } from '../../runtime/index.ts'
import { suiteCommand } from '../conformance/on-deno.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-deno-'))
beforeAll(() => makeTinyDigits(`${folder}/digits`))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

// hard-sync: no round ends without the trainer on Deno.
const options: SpeechOptions = {
  data: `${folder}/digits`,
  out: `${folder}/run`,
  strings: [60, 20, 20],
  crossEntropyEpochs: 2,
  epochs: 1,
  hidden: [16],
  snr: 10,
  batchUtterances: 4,
  workers: 2,
  policy: 'hard-sync',
}

test.skipIf(!suiteCommand())(
  'one trainer on Bun, one on Deno that is killed by SIGKILL: the run ends, nothing lost',
  async () => {
    await using run = await launch({
      task: speech({ ...options, deno: 1, chaos: 'kill:trainer-1@40%' }),
    })
    const engines = new Set<string>()
    for await (const event of run.events()) {
      if (event.type !== 'progress' || process.platform !== 'linux') continue
      for (const engine of enginesOf(process.pid)) engines.add(engine)
    }
    const { updates, restarts, staleness } = await run.done
    expect(updates.acknowledged).toBe(updates.applied)
    expect(updates.applied).toBeGreaterThan(100)
    expect(staleness.max).toBe(0)
    expect(restarts.map(({ actor, cause }) => [actor, cause])).toEqual([
      ['trainer-1', 'killed by SIGKILL'],
    ])
    if (process.platform === 'linux') expect(engines).toContain('deno')
  },
  60_000,
)

test('without Deno it is refused by name, before anything is written', async () => {
  const out = `${folder}/refused`
  const { PATH } = process.env
  process.env.PATH = ''
  try {
    const run = await launch({ task: speech({ ...options, out, deno: 1 }) })
    const failure = await run.done.catch((error: unknown) => error)
    expect(failure).toEqual(
      new EngineError('deno is not on the PATH: install it (npm install -g deno)'),
    )
  } finally {
    process.env.PATH = PATH
  }
  expect(existsSync(out)).toBe(false)
})

/** Names of the programs that run this process's workers. */
function enginesOf(parent: number): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((id) => readProcess(id, 'stat').split(') ')[1]?.split(' ')[1] === `${parent}`)
    .map((id) => readProcess(id, 'cmdline').split('\0')[0]?.split('/').at(-1) ?? '')
}

// A process may end while it is looked at.
function readProcess(id: string, file: string): string {
  try {
    return readFileSync(`/proc/${id}/${file}`, 'utf8')
  } catch {
    return ''
  }
}
