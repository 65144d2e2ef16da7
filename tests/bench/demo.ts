// The demo as a user runs it: how long it takes and how much memory all its processes take together.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SpeechReport } from '../../actors/index.ts'
import { type Bench, row } from './rows.ts'

const SAMPLE_MS = 250

export const demoBench: Bench = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-demo-'))
  const main = join(import.meta.dir, '../../actors/main.ts')
  try {
    const started = performance.now()
    const report = join(folder, 'report.json')
    const demo = Bun.spawn(
      [process.execPath, main, 'demo', '--quiet', '--out', join(folder, 'run'), '--report', report],
      { stdout: 'ignore', stderr: 'inherit' },
    )
    let peakBytes = 0
    const sampling = setInterval(() => {
      peakBytes = Math.max(peakBytes, memoryOf(demo.pid))
    }, SAMPLE_MS)
    const status = await demo.exited
    clearInterval(sampling)
    const seconds = (performance.now() - started) / 1_000
    if (status !== 0) throw new Error(`the demo ended with status ${status}`)
    const { errorRate, comparison, restarts } = JSON.parse(
      readFileSync(report, 'utf8'),
    ) as SpeechReport
    return [
      row('demo: wall time', seconds, 's', 180),
      row('demo: memory of all processes, peak', peakBytes / 2 ** 20, 'MiB', 2_048),
      row('demo: processes killed and replaced', restarts.length, '', 2),
      row('demo: error rate', errorRate.final.percent, '%', errorRate.crossEntropy.percent),
      row('demo: 95 % interval of the change, upper end', comparison.crossEntropy.high, '%'),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Proportional set size of a process and everything it started, so that shared pages count once. */
function memoryOf(root: number): number {
  const parents = new Map<number, number>()
  for (const name of readdirSync('/proc')) {
    const fields = /^\d+$/.test(name) ? read(`/proc/${name}/stat`).split(') ').at(-1) : undefined
    if (fields) parents.set(Number(name), Number(fields.split(' ')[1]))
  }
  const isBelow = (id: number | undefined): boolean =>
    id !== undefined && (id === root || isBelow(parents.get(id)))
  return [...parents.keys()].filter(isBelow).reduce((sum, id) => {
    const kilobytes = /^Pss:\s+(\d+)/m.exec(read(`/proc/${id}/smaps_rollup`))?.[1]
    return sum + 1_024 * Number(kilobytes ?? 0)
  }, 0)
}

// A process may end while it is looked at.
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
