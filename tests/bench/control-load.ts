// The other side of a control plane, in a process of its own: `watch URL STREAMS` polls and reads events until
// it is ended; `ask URL PATH PER_SECOND SECONDS` asks at a fixed rate and prints what the answers took.
const [mode, url = '', ...rest] = process.argv.slice(2)

const quantile = (sorted: readonly number[], part: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? Number.NaN

/** Bytes are taken and not looked at: a browser that does more is on another machine. */
async function readStream(): Promise<void> {
  const response = await fetch(`${url}/events`)
  for await (const _ of response.body ?? []);
}

async function poll(): Promise<void> {
  for (;;) {
    const paths = ['/runs', '/members', '/actors', '/workers', '/shards', '/metrics']
    await Promise.all(paths.map(async (path) => await (await fetch(`${url}${path}`)).arrayBuffer()))
    await Bun.sleep(1_000)
  }
}

/** Times count from when a request was due, so that a server that stalls is not asked less. */
async function ask(path: string, perSecond: number, seconds: number): Promise<void> {
  const total = perSecond * seconds
  const took: number[] = []
  const begun = performance.now()
  const pending: Promise<void>[] = []
  for (let index = 0; index < total; index++) {
    const due = begun + (1_000 * index) / perSecond
    while (performance.now() < due) await Bun.sleep(0.2)
    pending.push(
      fetch(`${url}${path}`)
        .then(async (response) => await response.arrayBuffer())
        .then(() => void took.push(performance.now() - due)),
    )
  }
  await Promise.all(pending)
  const achieved = total / ((performance.now() - begun) / 1_000)
  took.sort((a, b) => a - b)
  const [p50, p99] = [quantile(took, 0.5), quantile(took, 0.99)]
  console.log(JSON.stringify({ p50, p99, achieved }))
}

if (mode === 'watch') {
  const streams = Array.from({ length: Number(rest[0]) }, readStream)
  console.log('watching')
  await Promise.all([poll(), ...streams])
} else if (mode === 'ask') {
  await ask(rest[0] ?? '/', Number(rest[1]), Number(rest[2]))
}

export {}
