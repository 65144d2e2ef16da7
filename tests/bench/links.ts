// Two processes over loopback: what a link costs beside a bare WebSocket in the same run. Both sides are
// Bun. `bun tests/bench/links.ts` prints the rows.
import { fileURLToPath } from 'node:url'
import { type Infer, replyTo, union } from '../../protocol/schema.ts'
import { tensorOf } from '../../protocol/tensor.ts'
import { type ActorDefinition, next, type Ref } from '../../runtime/actor.ts'
import { createSystem, realEnvironment, type System } from '../../runtime/index.ts'
import type { LinkMessage, LinkPlaces } from './link-peer.ts'
import { atLeast, atMost, comparison, median, type Row, row } from './rows.ts'

export interface LinkSizes {
  readonly rounds: number
  readonly tells: number
  readonly asks: number
  readonly tensors: number
  readonly tensorBytes: number
}

export const realSizes: LinkSizes = {
  rounds: 7,
  tells: 400_000,
  asks: 4_000,
  tensors: 20,
  tensorBytes: 26_000_000,
}
export const smokeSizes: LinkSizes = {
  rounds: 1,
  tells: 2_000,
  asks: 50,
  tensors: 2,
  tensorBytes: 2_000_000,
}

export interface LinkBench {
  readonly sizes: LinkSizes
  readonly system: System
  readonly counter: Ref<LinkMessage>
  readonly echo: Ref<LinkMessage>
  readonly raw: RawSocket
  /** Resolves when the other process has ended. */
  stop(): Promise<void>
}

/** Starts the other process. */
export async function startLinkBench(sizes: LinkSizes): Promise<LinkBench> {
  const module = fileURLToPath(new URL('./link-peer.ts', import.meta.url))
  const child = Bun.spawn([process.execPath, module], {
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
    // As the pool starts its workers: see `realProcesses`.
    env: { MIMALLOC_PURGE_DELAY: '2000', ...process.env },
  })
  const { value } = await child.stdout.getReader().read()
  const places: LinkPlaces = JSON.parse(new TextDecoder().decode(value))
  const system = createSystem({ environment: realEnvironment({ seed: 'bench' }), member: 'bench' })
  await system.join(places.member)
  const raw = await connectRaw(places.raw)
  return {
    sizes,
    system,
    counter: system.ref({ member: 'peer', path: '/counter' }),
    echo: system.ref({ member: 'peer', path: '/echo' }),
    raw,
    async stop() {
      system.stop()
      raw.close()
      child.stdin.end()
      await child.exited
    },
  }
}

/** Tells of 64 bytes, as the receiving actor counts them. */
export async function measureTells(bench: LinkBench): Promise<readonly Row[]> {
  const letters = 'abcdefgh'.repeat(8)
  const blob = new Uint8Array(64).fill(7)
  const note = (): LinkMessage => ({ type: 'note', text: letters })
  const kinds: [string, () => LinkMessage][] = [
    ['text', note],
    ['bytes', () => ({ type: 'blob', bytes: blob })],
  ]
  const rows: Row[] = []
  for (const [name, message] of kinds) {
    await tellAll(bench, message)
    const rates: number[] = []
    for (let round = 0; round < bench.sizes.rounds; round++) {
      const ms = await tellAll(bench, message)
      rates.push(bench.sizes.tells / (ms / 1_000))
    }
    rows.push(atLeast(1_000_000, row(`tells of 64 bytes (${name})`, median(rates), '1/s')))
  }
  return rows
}

async function tellAll({ system, counter, sizes }: LinkBench, message: () => LinkMessage) {
  const { tells: count } = sizes
  const took = system.ask(counter, { type: 'expect', count }, { timeoutMs: 60_000 })
  for (let sent = 0; sent < count; ) {
    // `full` is answered by waiting for a turn of the loop, in which the link goes on.
    for (let n = 0; n < 512 && sent < count; n++) {
      if (counter.tell(message()) !== 'accepted') break
      sent += 1
    }
    await turnOfLoop()
  }
  return await took
}

/** An ask of a small message, against the round trip of a bare socket. */
export async function measureAsks(bench: LinkBench): Promise<readonly Row[]> {
  const { rounds, asks } = bench.sizes
  const rawMicros: number[] = []
  const askMicros: number[] = []
  const ratios: number[] = []
  const bytes = new Uint8Array(64)
  const askOnce = () =>
    bench.system.ask(bench.echo, { type: 'echo', text: 'hello' }, { timeoutMs: 10_000 })
  for (let round = 0; round <= rounds; round++) {
    // In short turns, so that both see the same moods of the machine.
    const times = { raw: [] as number[], ask: [] as number[] }
    for (let turn = 0; turn < asks / ASKS_A_TURN; turn++) {
      await timeMicros(times.raw, ASKS_A_TURN, () => bench.raw.roundTrip(bytes))
      await timeMicros(times.ask, ASKS_A_TURN, askOnce)
    }
    // The first round warms up.
    if (round === 0) continue
    rawMicros.push(median(times.raw))
    askMicros.push(median(times.ask))
    ratios.push(median(times.ask) / median(times.raw))
  }
  return [
    row('raw round trip, p50', median(rawMicros), 'us'),
    row('ask between processes, p50', median(askMicros), 'us'),
    atMost(1.3, row('ask between processes, p50 against raw', median(ratios), 'x')),
  ]
}

const ASKS_A_TURN = 25

async function timeMicros(times: number[], count: number, run: () => Promise<unknown>) {
  for (let i = 0; i < count; i++) {
    const started = performance.now()
    await run()
    times.push((performance.now() - started) * 1_000)
  }
}

const OUTSTANDING = 2

/** Large tensors, with watches and small asks going on beside them. */
export async function measureTensors(bench: LinkBench): Promise<readonly Row[]> {
  const { rounds, tensors, tensorBytes } = bench.sizes
  const tensor = tensorOf(new Float32Array(tensorBytes / 4).fill(1))
  const prober = bench.system.spawn(proberActor, [], { name: 'prober' })
  const rates: number[] = []
  const rawRates: number[] = []
  const ratios: number[] = []
  const signals: number[] = []
  const asks: number[] = []
  for (let round = 0; round <= rounds; round++) {
    const raw = await rateOf(tensors, tensorBytes, () => bench.raw.roundTrip(tensor.bytes))
    const load = { isOn: true }
    const probes = Promise.all([
      repeat(load, signals, () =>
        bench.system.ask(prober, { type: 'probe' }, { timeoutMs: 9_000 }),
      ),
      repeat(load, asks, () =>
        bench.system.ask(bench.echo, { type: 'echo', text: 'hello' }, { timeoutMs: 9_000 }),
      ),
    ])
    const rate = await rateOf(tensors, tensorBytes, () =>
      bench.system.ask(bench.counter, { type: 'weigh', tensor }, { timeoutMs: 30_000 }),
    )
    load.isOn = false
    await probes
    if (round === 0) {
      signals.length = asks.length = 0
      continue
    }
    rawRates.push(raw)
    rates.push(rate)
    ratios.push(rate / raw)
  }
  bench.system.stopActor(prober)
  return [
    row('raw tensors of 26 MB', median(rawRates), 'MB/s'),
    row('tensors of 26 MB', median(rates), 'MB/s'),
    atLeast(0.9, row('tensors of 26 MB against raw', median(ratios), 'x')),
    row('watch answered under that load, p50', quantile(signals, 0.5), 'ms'),
    atMost(5, row('watch answered under that load, p99', quantile(signals, 0.99), 'ms')),
    row('small ask under that load, p50', quantile(asks, 0.5), 'ms'),
    atMost(5, row('small ask under that load, p99', quantile(asks, 0.99), 'ms')),
  ]
}

async function rateOf(count: number, bytes: number, send: () => Promise<unknown>): Promise<number> {
  const started = performance.now()
  let left = count
  const sender = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await send()
    }
  }
  await Promise.all(Array.from({ length: OUTSTANDING }, sender))
  return (count * bytes) / 1e6 / ((performance.now() - started) / 1_000)
}

async function repeat(
  load: { readonly isOn: boolean },
  times: number[],
  run: () => Promise<unknown>,
): Promise<void> {
  while (load.isOn) {
    const started = performance.now()
    await run()
    times.push(performance.now() - started)
    await Bun.sleep(1)
  }
}

const ProbeMessage = union({ probe: { replyTo: replyTo<number>() } })
type ProbeMessage = Infer<typeof ProbeMessage>

/** Watches an actor that the peer does not have: a signal there, and a signal back. */
const proberActor: ActorDefinition<Ref<number>[], Ref<number>[], ProbeMessage> = {
  kind: 'prober',
  protocol: ProbeMessage,
  config: { decode: () => [] },
  start: (waiting) => waiting,
  receive(waiting, message, context) {
    context.watch({ address: { member: 'peer', path: '/nobody' }, tell: () => 'stopped' })
    return next([...waiting, message.replyTo])
  },
  down(waiting) {
    waiting[0]?.tell(0)
    return next(waiting.slice(1))
  },
}

interface RawSocket {
  /** Answers come in the order of the messages. */
  roundTrip(bytes: Uint8Array): Promise<void>
  close(): void
}

async function connectRaw(url: string): Promise<RawSocket> {
  const socket = new WebSocket(url)
  socket.binaryType = 'arraybuffer'
  const waiting: (() => void)[] = []
  socket.onmessage = () => waiting.shift()?.()
  await new Promise<void>((resolve) => {
    socket.onopen = () => resolve()
  })
  return {
    roundTrip: (bytes) =>
      new Promise((resolve) => {
        waiting.push(resolve)
        socket.send(bytes as Uint8Array<ArrayBuffer>)
      }),
    close: () => socket.close(),
  }
}

const turnOfLoop = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

export async function linkRows(sizes: LinkSizes = realSizes): Promise<readonly Row[]> {
  const bench = await startLinkBench(sizes)
  try {
    const tells = await measureTells(bench)
    const asks = await measureAsks(bench)
    return [...tells, ...asks, ...(await measureTensors(bench))]
  } finally {
    await bench.stop()
  }
}

if (import.meta.main) {
  const isSmoke = process.argv.includes('--smoke')
  console.log(comparison(await linkRows(isSmoke ? smokeSizes : realSizes)))
  process.exit(0)
}
