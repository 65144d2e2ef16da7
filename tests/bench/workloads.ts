// The four workloads by which actor-ts compares itself with others, on Troupe and on its peers: each
// framework in processes of its own, a process a round, the frameworks in turn within a round.
import { fileURLToPath } from 'node:url'
import { CITED_ON, cited } from './peers/cited.ts'
import { type ErlangRound, erlangRound, hasErlang, howToInstall } from './peers/erlang.ts'
import type { FrameworkName, Round, RoundOptions, Workload } from './peers/framework.ts'
import { installPeers } from './peers/install.ts'
import { runJson } from './run-json.ts'
import { atLeast, median, type Peer, type Row } from './rows.ts'

export interface WorkloadSizes {
  readonly rounds: number
  /** Of each workload, before it is measured. */
  readonly warmMs: number
  /** Of each workload within a round; the round's figure is their median. */
  readonly repeats: number
  readonly workloads: readonly Workload[]
  /** Installs what the registry has, and measures Erlang where it is. */
  readonly withPeers: boolean
  /** Of Erlang, to weigh one. */
  readonly idleProcesses: number
}

export const realWorkloads: readonly Workload[] = [
  { name: 'spawn', iterations: 100, size: 100 },
  { name: 'tell-1k', iterations: 100, size: 1_000 },
  { name: 'tell-10k', iterations: 30, size: 10_000 },
  { name: 'ask', iterations: 1, size: 5_000 },
  { name: 'ping-pong', iterations: 20, size: 10_000 },
]

export interface Measured {
  readonly rows: readonly Row[]
  /** What an idle actor of theirs takes, in bytes. */
  readonly idlePeers: readonly Peer[]
}

const whats: Readonly<Record<Workload['name'], string>> = {
  spawn: 'spawn + confirmed start and stop',
  'tell-1k': 'tell, batches of 1,000',
  'tell-10k': 'tell, batches of 10,000',
  ask: 'ask, one after the other',
  'ping-pong': 'ping-pong exchanges',
}
const ACTOR_TS = 'actor-ts 0.16'
/** Sends and calls a second within a node: the target, and its value where Erlang is not here. */
const erlangKnown: Readonly<Partial<Record<Workload['name'], number>>> = {
  'tell-1k': 8_000_000,
  'tell-10k': 8_000_000,
  ask: 2_000_000,
}

export async function measureWorkloads(sizes: WorkloadSizes): Promise<Measured> {
  using installed = sizes.withPeers ? await installPeers() : undefined
  if (installed?.isThere === false) console.log('nact and XState: not measured (no registry)')
  const withErlang = sizes.withPeers && hasErlang()
  if (sizes.withPeers && !withErlang) console.log(`Erlang: not measured; ${howToInstall}`)
  const names: FrameworkName[] = installed?.isThere
    ? ['troupe', 'nact', 'xstate', 'xstate-transition']
    : ['troupe']
  const rounds = new Map<string, Round[]>()
  const note = (name: string, round: Round): void => {
    rounds.set(name, [...(rounds.get(name) ?? []), round])
  }
  const erlang: ErlangRound[] = []
  const folder = installed?.folder ?? ''
  for (let index = 0; index < sizes.rounds; index++) {
    for (const framework of names) note(framework, await runRound({ ...sizes, framework, folder }))
    if (!withErlang) continue
    const round = await erlangRound(sizes, sizes.idleProcesses)
    erlang.push(round)
    note('erlang', round)
  }
  describe(sizes, rounds)
  return {
    rows: sizes.workloads.flatMap((workload) => workloadRows(workload, rounds)),
    idlePeers:
      erlang.length === 0
        ? []
        : [{ name: 'erlang', value: median(erlang.map(({ bytesIdle }) => bytesIdle)) }],
  }
}

const runRound = (options: RoundOptions): Promise<Round> =>
  runJson<Round>(fileURLToPath(new URL('./peers/round.ts', import.meta.url)), [
    JSON.stringify(options),
  ])

function describe(sizes: WorkloadSizes, rounds: ReadonlyMap<string, readonly Round[]>): void {
  const { warmMs, repeats } = sizes
  console.log(
    `${sizes.rounds} rounds, a process each; of each workload ${warmMs} ms to warm up, then the ` +
      `median of ${repeats}; medians over rounds`,
  )
  if (rounds.has('xstate')) {
    console.log(
      'XState handles an event inside send: no mailbox that could be full, no crash contained',
    )
  }
  for (const [name, [round]] of rounds) {
    const counts = round?.results.map(({ name, count }) => `${name} ${count.toLocaleString('en')}`)
    console.log(`${name} ${round?.version}: seen by actors each time: ${counts?.join(', ')}`)
  }
}

function workloadRows({ name }: Workload, rounds: ReadonlyMap<string, readonly Round[]>): Row[] {
  const ratesOf = (framework: string): number[] =>
    (rounds.get(framework) ?? [])
      .flatMap(({ results }) => results.filter((result) => result.name === name))
      .map(({ rate }) => rate)
  const rateOf = (framework: string): number => median(ratesOf(framework))
  const troupe = { value: rateOf('troupe'), samples: ratesOf('troupe') }
  const others = [...rounds.keys()].filter((framework) => framework !== 'troupe')
  const speeds = others.flatMap((peer) =>
    isCited(peer, name) ? [{ peer, speed: rateOf(peer) / cited[peer][name] }] : [],
  )
  const peers = others.map((peer): Peer => {
    const speed = speeds.find((known) => known.peer === peer)?.speed
    const note = speed === undefined ? {} : { note: `x ${speed.toFixed(1)} of the cited` }
    return { name: peer, value: rateOf(peer), samples: ratesOf(peer), ...note }
  })
  const target = (what: string, anchor: number, peers: readonly Peer[]): Row =>
    atLeast(anchor, { name: `${whats[name]}: ${what}`, unit: '/s', ...troupe }, peers)
  const actorTs = { name: ACTOR_TS, value: cited[ACTOR_TS][name] }
  const rows = [
    target('to 2 x actor-ts', 2 * actorTs.value, [...peers, { ...actorTs, note: CITED_ON }]),
  ]
  if (speeds.length > 0) {
    const speed = median(speeds.map(({ speed }) => speed))
    const scaled = { name: ACTOR_TS, value: actorTs.value * speed, note: 'cited x that' }
    const what = `scaled by x ${speed.toFixed(1)}, as peers are`
    rows.push(target(what, 2 * scaled.value, [scaled]))
  }
  const known = erlangKnown[name]
  if (known !== undefined) {
    const erlang = rounds.has('erlang') ? rateOf('erlang') : known
    rows.push(target(rounds.has('erlang') ? 'to Erlang here' : 'to Erlang, cited', erlang, []))
  }
  return rows
}

/** XState has no ask: what stood for it in the cited run is not known, so it tells nothing of speed. */
function isCited(peer: string, name: Workload['name']): peer is 'nact' | 'xstate' {
  return peer === 'nact' || (peer === 'xstate' && name !== 'ask')
}
