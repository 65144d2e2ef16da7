// What a control plane costs, and how it holds: a run beside watchers, answers at a rate, readers that do not
// read, ten thousand actors in a browser.
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import { startControl } from '../../actors/control/serve.ts'
import { launch, type Run, speech } from '../../actors/index.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { fakeRun, memberWith } from '../actors/control/fake-run.ts'
import { makeTinyDigits } from '../tiny-digits.ts'
import { atLeast, atMost, type Bench, median, type Row, row } from './rows.ts'

export interface ControlSizes {
  readonly windows: number
  readonly windowMs: number
  readonly streams: number
  readonly perSecond: number
  readonly seconds: number
  readonly readers: number
  readonly events: number
  readonly scrollMs: number
}

export const realSizes: ControlSizes = {
  windows: 24,
  windowMs: 4_000,
  streams: 20,
  perSecond: 1_000,
  seconds: 10,
  readers: 100,
  events: 200_000,
  scrollMs: 8_000,
}
export const smokeSizes: ControlSizes = {
  windows: 1,
  windowMs: 200,
  streams: 2,
  perSecond: 50,
  seconds: 1,
  readers: 3,
  events: 2_000,
  scrollMs: 300,
}

const environment = realEnvironment({ seed: 0 })
const load = (...args: readonly string[]) =>
  Bun.spawn([process.execPath, join(import.meta.dir, 'control-load.ts'), ...args], {
    stdout: 'pipe',
    stderr: 'inherit',
  })

export const controlBench: Bench = async ({ data }) => await measureControl(realSizes, data)

export async function measureControl(sizes: ControlSizes, data?: string): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-control-'))
  const home = process.env.TROUPE_HOME
  process.env.TROUPE_HOME = `${folder}/home`
  try {
    return [
      ...(await costOfWatching(sizes, folder, data)),
      ...(await answersAtARate(sizes)),
      ...(await slowReaders(sizes)),
      ...(await manyActors(sizes)),
    ]
  } finally {
    if (home === undefined) delete process.env.TROUPE_HOME
    else process.env.TROUPE_HOME = home
    rmSync(folder, { recursive: true, force: true })
  }
}

/** In turns, so that whatever else the machine does meets both. */
async function costOfWatching(sizes: ControlSizes, folder: string, data?: string): Promise<Row[]> {
  if (data === undefined) makeTinyDigits(`${folder}/digits`)
  const run = await launch({
    task: speech({
      data: data ?? `${folder}/digits`,
      out: `${folder}/run`,
      strings: [400, 20, 20],
      crossEntropyEpochs: 1_000,
    }),
    control: { port: 0 },
  })
  for await (const { type, ...event } of run.events()) {
    if (type === 'progress' && 'phase' in event && event.phase === 'cross-entropy') break
  }
  await Bun.sleep(Math.min(8_000, 2 * sizes.windowMs))
  const shares: number[] = []
  const busier: number[] = []
  for (let index = 0; index < sizes.windows; index++) {
    const alone = () => paceOf(run, sizes.windowMs)
    const watched = () => whileWatched(run, sizes)
    // Whoever comes second meets a later part of the run.
    const first = await (index % 2 ? watched() : alone())
    const second = await (index % 2 ? alone() : watched())
    const [own, shared] = index % 2 ? [second, first] : [first, second]
    shares.push((100 * (own.steps - shared.steps)) / own.steps)
    busier.push(100 * (shared.busy - own.busy))
  }
  await run.stop()
  const name = `throughput lost to polling and ${sizes.streams} event streams`
  const control = `processor time of the control process for them, of one core`
  return [
    atMost(2, { ...row(name, median(shares), '%'), samples: shares }),
    { ...row(control, median(busier), '%'), samples: busier },
  ]
}

async function whileWatched(run: Run, { streams, windowMs }: ControlSizes): Promise<Pace> {
  const watchers = load('watch', run.url ?? '', `${streams}`)
  await watchers.stdout.getReader().read()
  const pace = await paceOf(run, windowMs)
  watchers.kill('SIGKILL')
  await watchers.exited
  return pace
}

interface Pace {
  /** A second. */
  readonly steps: number
  /** Seconds of processor time of this process, which is the control process, a second. */
  readonly busy: number
}

async function paceOf(run: Run, ms: number): Promise<Pace> {
  const look = async () => {
    const [shard] = await run.shards()
    const { user, system } = process.cpuUsage()
    return {
      steps: shard?.updates.applied ?? 0,
      busy: (user + system) / 1e6,
      at: performance.now(),
    }
  }
  const before = await look()
  await Bun.sleep(ms)
  const after = await look()
  const seconds = (after.at - before.at) / 1_000
  return {
    steps: (after.steps - before.steps) / seconds,
    busy: (after.busy - before.busy) / seconds,
  }
}

async function answersAtARate({ perSecond, seconds }: ControlSizes): Promise<Row[]> {
  const control = startControl(environment, { port: 0 })
  const book = control.plane.add(fakeRun().run)
  book.observed.take([memberWith(40)])
  const asked = load('ask', control.url, '/actors', `${perSecond}`, `${seconds}`)
  const { p50, p99, achieved } = (await new Response(asked.stdout).json()) as Answers
  await control.stop()
  const what = `GET /actors at ${perSecond} a second`
  return [
    atMost(20, row(`${what}, p99`, p99, 'ms')),
    row(`${what}, p50`, p50, 'ms'),
    atLeast(0.99 * perSecond, row(`${what}: reached`, achieved, '/s')),
  ]
}

interface Answers {
  readonly p50: number
  readonly p99: number
  readonly achieved: number
}

/** Sockets that ask for events and then read nothing. */
async function slowReaders({ readers, events }: ControlSizes): Promise<Row[]> {
  const control = startControl(environment, { port: 0 })
  const { port, hostname } = new URL(control.url)
  const sockets = await Promise.all(
    Array.from({ length: readers }, () => silentReader(hostname, Number(port))),
  )
  Bun.gc(true)
  const before = process.memoryUsage.rss()
  for (let index = 0; index < events; index++) {
    control.plane.log.put({ type: 'tick', index, text: 'x'.repeat(200) })
    if (index % 1_000 === 0) await Bun.sleep(1)
  }
  Bun.gc(true)
  const grown = (process.memoryUsage.rss() - before) / 2 ** 20
  for (const socket of sockets) socket.destroy()
  await control.stop()
  const name = `memory after ${events} events with ${readers} readers that do not read`
  return [atMost(100, row(name, Math.max(0, grown), 'MiB'))]
}

async function silentReader(hostname: string, port: number): Promise<Socket> {
  return await new Promise((resolve, reject) => {
    const socket = connect(port, hostname, () => {
      socket.pause()
      socket.write(`GET /events?after=0 HTTP/1.1\r\nhost: ${hostname}:${port}\r\n\r\n`, () =>
        resolve(socket),
      )
    })
    socket.on('error', reject)
  })
}

const executablePath = Bun.which('chromium') ?? undefined
const ACTORS = 10_000

/** From the address to all of them in the tree; then the longest time for which the page did not answer. */
async function manyActors({ scrollMs }: ControlSizes): Promise<Row[]> {
  if (executablePath === undefined) return []
  const control = startControl(environment, { port: 0 })
  control.plane.add(fakeRun().run).observed.take([memberWith(ACTORS)])
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox'] })
  const page = await browser.newPage()
  const begun = performance.now()
  await page.goto(control.pageUrl)
  await page.getByText(`1 members, ${ACTORS} actors`).waitFor()
  const loaded = performance.now() - begun
  const longest = await page.evaluate<number>(`new Promise((resolve) => {
    let longest = 0
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest = Math.max(longest, duration)
    }).observe({ type: 'longtask' })
    const rows = document.querySelector('.rows')
    const scrolling = setInterval(() => { rows.scrollTop += 3000 }, 50)
    setTimeout(() => { clearInterval(scrolling); resolve(longest) }, ${scrollMs})
  })`)
  await browser.close()
  await control.stop()
  return [
    atMost(2_000, row(`the page with ${ACTORS} actors, until they are there`, loaded, 'ms')),
    atMost(200, row(`the page with ${ACTORS} actors, longest stall`, longest, 'ms')),
  ]
}
