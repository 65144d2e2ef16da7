// Staleness policies: what a parameter shard does with a push, as pure functions in one table. Staleness
// tau counts the updates the shard has applied since the version the gradient was computed with.
import { assert } from '../../protocol/assert.ts'

export type StalenessPolicy =
  /** Applied as it arrives (Dean 2012); refused above `staleMax`, where there is one. */
  | { readonly name: 'downpour'; readonly staleMax?: number }
  /** Learning rate alpha / tau (Zhang 2016, equation 6). */
  | { readonly name: 'staleness-aware' }
  /** Applied as it arrives; a trainer over `bound` steps ahead of the slowest waits (Ho 2013). */
  | { readonly name: 'ssp'; readonly bound: number }
  /** One push of every trainer, joined: equals one process with the joined minibatch. */
  | { readonly name: 'hard-sync' }
  /** floor(trainers / n) pushes, joined, each with rate alpha / tau (Zhang 2016, equation 5). */
  | { readonly name: 'softsync'; readonly n: number }
  /** Corrected to first order for the delay (Zheng 2017). */
  | { readonly name: 'dc-asgd'; readonly lambda: number }
  /** Each coordinate shrunk by how far its parameter has moved (Barkai 2020). */
  | { readonly name: 'gap-aware' }

export type PolicyName = StalenessPolicy['name']

/** `scale` goes to the learning rate (`UpdateContext.rateScale`), not into the gradient. */
export type Verdict =
  | { readonly verdict: 'apply'; readonly scale: number }
  /** Keep it until the round is complete. */
  | { readonly verdict: 'hold'; readonly scale: number; readonly reason: string }
  /** This push completes its round: `assembleRound` of the held ones and this. */
  | { readonly verdict: 'complete'; readonly scale: number }
  | { readonly verdict: 'compensate'; readonly rule: Compensation }
  | { readonly verdict: 'refuse'; readonly reason: string }

/** `compensateDelay` or `compensateGap`; both need the parameters of the version seen. */
export type Compensation =
  | { readonly name: 'delay'; readonly lambda: number }
  | { readonly name: 'gap' }

export interface PushFacts {
  readonly policy: StalenessPolicy
  readonly trainer: string
  /** Version now minus version seen; below 0 where the shard was restored from an older snapshot. */
  readonly staleness: number
  /** Trainers whose pushes are held for this round, one entry per push, this one left out. */
  readonly held: readonly string[]
  /** Live trainers that take part. */
  readonly roundSize: number
}

/** Updates pushed, per live trainer. */
export type Clocks = ReadonlyMap<string, number>

export class PolicyError extends Error {
  override readonly name = 'PolicyError'
}

export function judgePush(push: PushFacts): Verdict {
  if (push.staleness < 0) {
    return {
      verdict: 'refuse',
      reason: `versions are ${-push.staleness} ahead of this shard: pull anew`,
    }
  }
  return rowOf(push.policy).judge(push.policy, push)
}

/** Whether a trainer may begin its next step. It always may while it is the slowest one. */
export function mayProceed(policy: StalenessPolicy, clocks: Clocks, trainer: string): boolean {
  if (policy.name !== 'ssp') return true
  const own = clocks.get(trainer)
  return own === undefined || own - slowest(clocks) <= policy.bound
}

/** A newcomer, or a trainer that comes back, starts level with the slowest: it holds nobody back. */
export function admitTrainer(clocks: Clocks, trainer: string): Clocks {
  return new Map(clocks).set(trainer, clocks.size === 0 ? 0 : slowest(clocks))
}

/** Whether the held pushes make a round. Ask again when a trainer dies and `roundSize` shrinks. */
export function isRoundComplete(
  policy: StalenessPolicy,
  held: readonly string[],
  roundSize: number,
): boolean {
  if (held.length === 0) return false
  if (policy.name === 'hard-sync') return new Set(held).size >= roundSize
  return policy.name === 'softsync' && held.length >= Math.max(1, Math.floor(roundSize / policy.n))
}

export interface RoundPush {
  readonly trainer: string
  readonly sequence: number
  /** Frames or examples; the gradient is their mean. */
  readonly weight: number
  /** Of its verdict. */
  readonly scale: number
  readonly gradient: Float32Array
}

/**
 * The joined gradient sum(w s g) / sum(w s) and its rate scale sum(w s) / sum(w); for SGD their product is
 * the mean of scaled gradients. Summed by trainer and sequence, never by arrival: the bits repeat.
 */
export function assembleRound(pushes: readonly RoundPush[]): {
  readonly gradient: Float32Array
  readonly scale: number
} {
  const ordered = [...pushes].sort(byTrainerAndSequence)
  const first = ordered[0]
  assert(first !== undefined, 'a round has a push')
  let weightSum = 0
  let shareSum = 0
  for (const { weight, scale } of ordered) {
    assert(weight > 0 && scale > 0, 'a push of a round has a weight and a scale above 0')
    weightSum += weight
    shareSum += weight * scale
  }
  const gradient = new Float32Array(first.gradient.length)
  for (const push of ordered) {
    assert(push.gradient.length === gradient.length, 'gradients of a round are equally long')
    addScaled(gradient, push.gradient, (push.weight * push.scale) / shareSum)
  }
  return { gradient, scale: shareSum / weightSum }
}

/** Reads `ssp:4` and its kin; throws `PolicyError` naming the option and what it may be. */
export function parsePolicy(text: string): StalenessPolicy {
  const [name = '', argument, ...rest] = text.split(':')
  const row = Object.hasOwn(policies, name) ? policies[name as PolicyName] : undefined
  const policy = rest.length === 0 ? row?.parse(argument) : undefined
  if (policy) return policy
  const usages = row ? row.usage : Object.values(policies).map(({ usage }) => usage)
  throw new PolicyError(
    `policy: '${text}'; give ${row ? '' : 'one of '}${[usages].flat().join(', ')}`,
  )
}

/** The inverse of `parsePolicy`. */
export function printPolicy(policy: StalenessPolicy): string {
  const { name, ...rest } = policy
  return [name, ...Object.values(rest)].join(':')
}

/** Checks a policy that arrived as a plain value. */
export function checkPolicy(value: unknown): StalenessPolicy {
  const isRecord = typeof value === 'object' && value !== null && 'name' in value
  if (!isRecord)
    throw new PolicyError(`policy: ${JSON.stringify(value)}; give an object with a name`)
  const policy = parsePolicy(printPolicy(value as StalenessPolicy))
  if (JSON.stringify(sorted(policy)) === JSON.stringify(sorted(value))) return policy
  throw new PolicyError(`policy: ${JSON.stringify(value)}; give ${JSON.stringify(policy)}`)
}

interface PolicyRow<Policy extends StalenessPolicy> {
  readonly usage: string
  readonly parse: (argument: string | undefined) => Policy | undefined
  readonly judge: (policy: Policy, push: PushFacts) => Verdict
}

type PolicyOf<Name extends PolicyName> = Extract<StalenessPolicy, { readonly name: Name }>

const policies: { readonly [Name in PolicyName]: PolicyRow<PolicyOf<Name>> } = {
  downpour: {
    usage: 'downpour, downpour:STALE_MAX (an integer from 0)',
    parse: (argument) => {
      if (argument === undefined) return { name: 'downpour' }
      return withNumber(argument, integerFrom(0), (staleMax) => ({ name: 'downpour', staleMax }))
    },
    judge: ({ staleMax = Infinity }, { staleness }) =>
      staleness <= staleMax
        ? applyWhole
        : { verdict: 'refuse', reason: `staleness ${staleness} is above ${staleMax}: pull anew` },
  },
  'staleness-aware': {
    usage: 'staleness-aware',
    parse: (argument) => (argument === undefined ? { name: 'staleness-aware' } : undefined),
    judge: (_policy, { staleness }) => ({ verdict: 'apply', scale: rateScale(staleness) }),
  },
  ssp: {
    usage: 'ssp:BOUND (an integer from 0)',
    parse: (argument) => withNumber(argument, integerFrom(0), (bound) => ({ name: 'ssp', bound })),
    // The push itself is always welcome; `mayProceed` decides about the trainer's next step.
    judge: () => applyWhole,
  },
  'hard-sync': {
    usage: 'hard-sync',
    parse: (argument) => (argument === undefined ? { name: 'hard-sync' } : undefined),
    judge: (policy, push) =>
      push.staleness > 0
        ? { verdict: 'refuse', reason: 'the round of this gradient is over: pull anew' }
        : joinRound(policy, push, 1),
  },
  softsync: {
    usage: 'softsync:N (an integer from 1)',
    parse: (argument) => withNumber(argument, integerFrom(1), (n) => ({ name: 'softsync', n })),
    judge: (policy, push) => joinRound(policy, push, rateScale(push.staleness)),
  },
  'dc-asgd': {
    usage: 'dc-asgd:LAMBDA (a number above 0)',
    parse: (argument) =>
      withNumber(
        argument,
        (value) => value > 0,
        (lambda) => ({ name: 'dc-asgd', lambda }),
      ),
    judge: ({ lambda }, { staleness }) =>
      staleness === 0 ? applyWhole : { verdict: 'compensate', rule: { name: 'delay', lambda } },
  },
  'gap-aware': {
    usage: 'gap-aware',
    parse: (argument) => (argument === undefined ? { name: 'gap-aware' } : undefined),
    judge: (_policy, { staleness }) =>
      staleness === 0 ? applyWhole : { verdict: 'compensate', rule: { name: 'gap' } },
  },
}

export const policyUsages = Object.values(policies).map(({ usage }) => usage)

const applyWhole: Verdict = { verdict: 'apply', scale: 1 }

/** alpha / tau, and alpha for a fresh gradient. */
function rateScale(staleness: number): number {
  return 1 / Math.max(1, staleness)
}

function joinRound(policy: StalenessPolicy, push: PushFacts, scale: number): Verdict {
  const present = [...push.held, push.trainer]
  if (isRoundComplete(policy, present, push.roundSize)) return { verdict: 'complete', scale }
  const reason = `${present.length} pushes of a round of ${push.roundSize} trainers are here`
  return { verdict: 'hold', scale, reason }
}

/** The row of a policy takes exactly that policy: a correlation that the compiler cannot follow. */
function rowOf(policy: StalenessPolicy): PolicyRow<StalenessPolicy> {
  return policies[policy.name] as unknown as PolicyRow<StalenessPolicy>
}

function slowest(clocks: Clocks): number {
  let least = Infinity
  for (const clock of clocks.values()) least = Math.min(least, clock)
  return least
}

function byTrainerAndSequence(a: RoundPush, b: RoundPush): number {
  if (a.trainer !== b.trainer) return a.trainer < b.trainer ? -1 : 1
  return a.sequence - b.sequence
}

function addScaled(target: Float32Array, values: Float32Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i]! += factor * values[i]!
}

function withNumber<Policy>(
  argument: string | undefined,
  isAllowed: (value: number) => boolean,
  make: (value: number) => Policy,
): Policy | undefined {
  const value = argument?.trim() ? Number(argument) : Number.NaN
  return Number.isFinite(value) && isAllowed(value) ? make(value) : undefined
}

function integerFrom(low: number): (value: number) => boolean {
  return (value) => Number.isSafeInteger(value) && value >= low
}

function sorted(value: object): [string, unknown][] {
  return Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
}
