// What the first subnetwork does for its replica: it gathers the others for an attempt, takes steps from
// the source and sends them through as passes, and reports a step when all subnetworks have settled it.
import { assert } from '../../protocol/assert.ts'
import { attemptOf, type Settled, type SubnetworkMessage } from '../../protocol/pipeline.ts'
import type { SourceMessage, Work } from '../../protocol/training.ts'
import type { Ask, Outcome } from '../../runtime/actor.ts'
import type { Clock } from '../../runtime/environment.ts'
import { patience, patiently } from '../parameter-client.ts'
import type { SubnetworkConfig } from './config.ts'

type Step = Extract<Work, { type: 'step' }>
type Finished = NonNullable<Extract<SourceMessage, { type: 'next' }>['finished']>

/** A lane of the source: at most one step, which keeps its lane through all attempts and passes. */
interface Lane {
  readonly index: number
  step: Step | undefined
  startedMs: number
  /** 0 while the step is not on its way. */
  pass: number
  ready: Set<number>
  settled: Map<number, Settled>
  finished: Finished | undefined
}

export interface Head {
  readonly config: SubnetworkConfig
  readonly lanes: readonly Lane[]
  attempts: number
  attempt: number
  joined: Set<number>
  isRunning: boolean
  lastPass: number
}

export type HeadNews =
  | { readonly type: 'gather'; readonly attempt: number }
  | { readonly type: 'ask'; readonly lane: number }
  | { readonly type: 'given'; readonly lane: number; readonly outcome: Outcome<Work> }

export interface HeadWorld {
  readonly ask: Ask
  readonly clock: Clock
  tell(subnetwork: number, message: SubnetworkMessage): void
  /** Is told once of the death of every other subnetwork that lives now. */
  watchOthers(): void
  after(ms: number, news: HeadNews): void
  pipe<T>(promise: Promise<T>, toNews: (outcome: Outcome<T>) => HeadNews): void
}

/** Between two calls to those who have not joined; they may still be starting. */
const GATHER_MS = 50

export function createHead(config: SubnetworkConfig, world: HeadWorld): Head {
  const head: Head = {
    config,
    lanes: Array.from({ length: config.lanes }, (_, index) => ({ index, ...idle })),
    attempts: 0,
    attempt: attemptOf(config.incarnation, 0),
    joined: new Set(),
    isRunning: false,
    lastPass: 0,
  }
  world.after(0, { type: 'gather', attempt: head.attempt })
  for (const lane of head.lanes) askForStep(head, lane, world)
  return head
}

const idle = {
  step: undefined,
  startedMs: 0,
  pass: 0,
  ready: new Set<number>(),
  settled: new Map<number, Settled>(),
  finished: undefined,
}

/** What is in flight is lost to the replica, not to the run: the next attempt computes it again. */
export function nextAttempt(head: Head, world: HeadWorld): void {
  head.attempts += 1
  head.attempt = attemptOf(head.config.incarnation, head.attempts)
  head.joined = new Set()
  head.isRunning = false
  for (const lane of head.lanes) lane.pass = 0
  world.after(GATHER_MS, { type: 'gather', attempt: head.attempt })
}

export function hearHeadNews(head: Head, news: HeadNews, world: HeadWorld): void {
  if (news.type === 'gather') {
    if (news.attempt !== head.attempt || head.isRunning) return
    head.config.subnetworks.forEach((_, subnetwork) => {
      if (head.joined.has(subnetwork)) return
      world.tell(subnetwork, { type: 'join', attempt: head.attempt })
    })
    world.after(GATHER_MS, news)
    return
  }
  const lane = head.lanes[news.lane]
  assert(lane !== undefined, 'a lane of this head')
  if (news.type === 'ask') return askForStep(head, lane, world)
  if (!news.outcome.ok) throw news.outcome.error
  const work = news.outcome.value
  lane.finished = undefined
  if (work.type === 'wait') return world.after(work.ms, { type: 'ask', lane: lane.index })
  lane.step = work
  lane.startedMs = world.clock.now()
  if (head.isRunning) sendThrough(head, lane, world)
}

/** Steps go through again from the start, the oldest first, when everybody has joined. */
export function hearJoined(head: Head, subnetwork: number, world: HeadWorld): void {
  head.joined.add(subnetwork)
  const { subnetworks } = head.config
  if (head.isRunning || head.joined.size < subnetworks.length) return
  head.isRunning = true
  // Whoever died since it joined is replaced by one that has not joined, and says so.
  world.watchOthers()
  toAll(head, { type: 'start', attempt: head.attempt }, world)
  const steps = head.lanes.filter(({ step }) => step)
  steps.sort((a, b) => (a.step?.sequence ?? 0) - (b.step?.sequence ?? 0))
  for (const lane of steps) sendThrough(head, lane, world)
}

export function hearReady(
  head: Head,
  { pass, subnetwork }: { pass: number; subnetwork: number },
  world: HeadWorld,
): void {
  const lane = head.lanes.find((each) => each.pass === pass)
  if (!lane) return
  lane.ready.add(subnetwork)
  if (lane.ready.size < head.config.subnetworks.length) return
  toAll(head, { type: 'push', attempt: head.attempt, pass }, world)
}

export function hearSettled(
  head: Head,
  { pass, subnetwork, settled }: Extract<SubnetworkMessage, { type: 'settled' }>,
  world: HeadWorld,
): void {
  const lane = head.lanes.find((each) => each.pass === pass)
  if (!lane?.step) return
  lane.settled.set(subnetwork, settled)
  if (lane.settled.size < head.config.subnetworks.length) return
  const all = [...lane.settled.values()]
  const isMoot = all.some(({ verdict }) => verdict === 'moot')
  const isStale = all.some(({ verdict }) => verdict === 'again')
  if (isStale && !isMoot) return sendThrough(head, lane, world)
  const { phase, sequence } = lane.step
  const wallMs = world.clock.now() - lane.startedMs
  lane.finished = isMoot ? undefined : { phase, sequence, wallMs, rejected: 0, ...sumOf(all) }
  lane.step = undefined
  lane.pass = 0
  askForStep(head, lane, world)
}

function sendThrough(head: Head, lane: Lane, world: HeadWorld): void {
  assert(lane.step !== undefined, 'a lane with a step')
  head.lastPass += 1
  lane.pass = head.lastPass
  lane.ready = new Set()
  lane.settled = new Map()
  const { phase, sequence, kind, configuration } = lane.step
  const { attempt } = head
  const begin = { type: 'begin', attempt, pass: lane.pass, phase, sequence, kind, configuration }
  toAll(head, begin as SubnetworkMessage, world)
}

function askForStep(head: Head, lane: Lane, { ask, clock, pipe }: HeadWorld): void {
  const { source, name, incarnation } = head.config
  const { finished, index } = lane
  const given = patiently(clock, patience, () =>
    ask(
      source,
      { type: 'next', trainer: name, incarnation, lane: index, ...(finished && { finished }) },
      { timeoutMs: patience.askTimeoutMs },
    ),
  )
  pipe(given, (outcome) => ({ type: 'given', lane: index, outcome }))
}

function toAll({ config }: Head, message: SubnetworkMessage, { tell }: HeadWorld): void {
  config.subnetworks.forEach((_, subnetwork) => tell(subnetwork, message))
}

/** Each subnetwork adds the losses of its own heads, and its share of the time. */
function sumOf(all: readonly Settled[]) {
  const sum = (of: (settled: Settled) => number): number =>
    all.reduce((total, settled) => total + of(settled), 0)
  return {
    examples: Math.max(...all.map(({ examples }) => examples)),
    loss: sum(({ loss }) => loss),
    computeMs: sum(({ computeMs }) => computeMs),
    nonFinite: Math.max(...all.map(({ nonFinite }) => nonFinite)),
  }
}
