// What people and scripts may do to a run under way: hold its steps back, change how its shards learn, and
// change its team. One change after the other, in the order of asking; nothing is lost by any of them.
import {
  PolicyError,
  parsePolicy,
  printPolicy,
  type StalenessPolicy,
} from '../../models/optimizers/index.ts'
import type {
  Adjustment,
  ShardStatus,
  SourceMessage,
  SourceStatus,
} from '../../protocol/training.ts'
import type { Ref } from '../../runtime/actor.ts'
import type { Process } from '../../runtime/environment.ts'
import { NoDeviceError } from '../../runtime/worker/devices.ts'
import type { PoolWorker, WorkerState } from '../../runtime/worker/pool.ts'
import { type AppliedSet, appliedByAll } from '../applied-set.ts'
import type { ChaosFaultName } from '../chaos-plan.ts'
import { patience, patiently } from '../parameter-client.ts'
import { OptionError } from '../run/options.ts'
import { checkShardPolicy } from '../shard-state.ts'
import { NotPossibleError } from './not-possible.ts'
import type { ClusterOptions, PhasePlan } from './options.ts'
import { isComputing, namesOfReplica, pusherOf, type Role, roleOf } from './processes.ts'
import type { Shards } from './shards.ts'
import { emptyTeam, type Team, teamFor, withNewcomer, without } from './team.ts'

export interface Steering {
  /** No step is given out until `resume`; those under way are finished. */
  pause(): void
  resume(): void
  readonly isPaused: boolean
  sourceStatus(): Promise<SourceStatus>
  /** For the phase under way. `OptionError`: no such rate or policy. */
  adjust(wanted: Adjusting): Promise<readonly ShardStatus[]>
  /** Starts one more replica; answers the name of the process that takes its steps. */
  addTrainer(): Promise<string>
  /** When it resolves, the replica's steps are done or given back, and nobody hears it any more. */
  removeTrainer(name: string): Promise<void>
  /** In order: what it has under way is finished first; this is no death. */
  restartWorker(name: string): Promise<void>
  kill(name: string, processSignal?: Parameters<Process['kill']>[0]): void
  /** What a chaos plan does, to one process. */
  fault(name: string, fault: ChaosFaultName): void
  members(): readonly ClusterMember[]
  /** Names of the replicas of the phase: each that of the process which takes its steps. */
  team(): readonly string[]
}

export interface Adjusting {
  /** Of the next update; the schedule goes on in proportion. */
  readonly learningRate?: number
  /** As the option: 'downpour', 'ssp:4', ... */
  readonly policy?: string
}

/** A process of the run. */
export interface ClusterMember {
  readonly name: string
  readonly role: Role
  readonly state: WorkerState
  readonly incarnation: number
  readonly processId: number | undefined
  readonly device: string | undefined
  readonly isRemovable: boolean
}

export interface SteeringWorld {
  readonly options: ClusterOptions
  readonly source: Ref<SourceMessage>
  readonly shards: Shards
  readonly workers: Map<string, PoolWorker>
  /** Starts the processes of a replica that are not there yet. */
  startReplica(replica: number): void
  strike(name: string, fault: ChaosFaultName): void
  onLeft(name: string): void
}

/** What the cluster itself needs of it. */
export interface Steered extends Steering {
  /** Begins a phase, or goes on with it where the shards already are; answers what is applied. */
  begin(plan: PhasePlan): Promise<AppliedSet>
}

/** A step that takes longer is given back, and computed by another. */
const DRAIN_MS_MAX = 10_000
const DRAIN_POLL_MS = 20
/** No incarnation is above it: whoever was removed has no successor. */
const ALL_INCARNATIONS = 0xffffffff

export function steeringOf(world: SteeringWorld): Steered {
  const { options, source, shards, workers } = world
  const { clock, system, pool } = options
  let isPaused = false
  let team: Team = emptyTeam(options.replicas ?? 0)
  /** The last one that any shard has heard of. */
  let change = 0
  let plan: PhasePlan | undefined
  let last: Promise<unknown> = Promise.resolve()

  function inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = last.then(work, work)
    last = done.catch(() => {})
    return done
  }

  const adjustShards = (what: (shard: number) => Omit<Adjustment, 'change'>) => {
    change += 1
    return shards.adjust(change, what)
  }
  const headOf = (replica: number): string => namesOfReplica(options, replica)[0] ?? ''
  const pushersTo = (shard: number): string[] =>
    team.replicas.map((replica) => pusherOf(options, replica, shard))
  const announceTeam = () => adjustShards((shard) => ({ trainers: pushersTo(shard) }))
  const replicaWith = (name: string): number | undefined =>
    team.replicas.find((replica) => namesOfReplica(options, replica).includes(name))
  const sourceStatus = (): Promise<SourceStatus> =>
    patiently(clock, patience, () =>
      system.ask(source, { type: 'status' }, { timeoutMs: patience.askTimeoutMs }),
    )

  function workerOf(name: string): PoolWorker {
    const worker = workers.get(name)
    if (!worker) throw new NotPossibleError(`this run has no process called ${name}`)
    return worker
  }

  function phaseUnderWay(): PhasePlan {
    if (!plan) throw new NotPossibleError('no training has begun')
    return plan
  }

  /** Until a trainer has no step that moves, or its present life is over, or it takes too long. */
  async function drained(trainer: string): Promise<void> {
    const { incarnation } = workerOf(trainer)
    const lateAt = clock.now() + DRAIN_MS_MAX
    while (clock.now() < lateAt && workers.get(trainer)?.incarnation === incarnation) {
      const status = await sourceStatus()
      if (!status.taken.some((step) => step.trainer === trainer)) return
      if (status.paused && isAtRest(status, await shards.statuses())) return
      await new Promise<void>((resolve) => clock.after(DRAIN_POLL_MS, resolve))
    }
  }

  async function leave(name: string): Promise<void> {
    const { incarnation } = workerOf(name)
    await pool.remove(name)
    await shards.fence(name, incarnation + 1)
    workers.delete(name)
    world.onLeft(name)
  }

  async function addReplica(): Promise<string> {
    phaseUnderWay()
    const larger = withNewcomer(team)
    const replica = team.next
    try {
      world.startReplica(replica)
    } catch (error) {
      if (!(error instanceof NoDeviceError)) throw error
      const started = namesOfReplica(options, replica).filter((name) => workers.has(name))
      team = { ...team, next: larger.next }
      await Promise.all(started.map(leave))
      throw new NotPossibleError(error.message, { cause: error })
    }
    team = larger
    await announceTeam()
    return headOf(replica)
  }

  async function removeReplica(name: string): Promise<void> {
    const replica = replicaWith(name)
    if (replica === undefined) {
      const { role } = memberOf(workerOf(name))
      throw new NotPossibleError(`${name} is no trainer of this phase (${role}): it stays`)
    }
    if (team.replicas.length === 1) {
      throw new NotPossibleError(`${name} is the last trainer: add another one, or stop the run`)
    }
    const head = headOf(replica)
    team = without(team, replica)
    // First of all: a round that waits for its push may be full without it.
    await announceTeam()
    source.tell({ type: 'retire', trainer: head, incarnation: ALL_INCARNATIONS })
    await drained(head)
    await Promise.all(namesOfReplica(options, replica).map(leave))
  }

  async function restartInOrder(name: string): Promise<void> {
    const worker = workerOf(name)
    if (worker.state !== 'ready') {
      throw new NotPossibleError(`${name} is ${worker.state}: wait until it is ready`)
    }
    const { incarnation } = worker
    const replica = replicaWith(name)
    if (replica !== undefined && headOf(replica) === name) {
      source.tell({ type: 'retire', trainer: name, incarnation })
      await drained(name)
    }
    // It has died meanwhile: its next life has begun.
    if (worker.incarnation !== incarnation) return
    await worker.restart()
  }

  async function begin(next: PhasePlan): Promise<AppliedSet> {
    team = teamFor(team, next.trainers)
    let statuses = await shards.begin(next, team.replicas)
    plan = next
    change = Math.max(change, ...statuses.map((status) => status.change))
    // In an earlier life of the run the phase may have had another team.
    const isOther = statuses.some(
      ({ trainers }, shard) => trainers.join() !== pushersTo(shard).join(),
    )
    if (isOther) statuses = await announceTeam()
    const applied = appliedByAll(statuses.map(appliedOf))
    const { kind, configuration } = next
    const { phase, steps } = next.start
    source.tell({
      type: 'begin',
      phase,
      kind,
      steps,
      // And another policy.
      lanes: lanesFor(options, next, parsePolicy(statuses[0]?.policy ?? '')),
      applied: { below: applied.below, above: [...applied.above] },
      configuration,
    })
    for (const replica of team.replicas) world.startReplica(replica)
    return applied
  }

  function memberOf(worker: PoolWorker): ClusterMember {
    const { name, state, incarnation, processId, device } = worker
    const isRemovable = replicaWith(name) !== undefined && team.replicas.length > 1
    return { name, role: roleOf(name), state, incarnation, processId, device, isRemovable }
  }

  return {
    pause() {
      isPaused = true
      source.tell({ type: 'pause', paused: true })
    },
    resume() {
      isPaused = false
      source.tell({ type: 'pause', paused: false })
    },
    get isPaused() {
      return isPaused
    },
    sourceStatus,
    adjust: (wanted) =>
      inOrder(async () => {
        const begun = phaseUnderWay()
        const policy = wanted.policy === undefined ? undefined : policyOf(options, wanted.policy)
        const scales = scalesFor(await shards.statuses(), wanted.learningRate)
        const adjusted = await adjustShards((shard) => ({
          ...(scales && { rateScale: scales[shard] ?? 1 }),
          ...(policy && { policy }),
        }))
        if (policy) source.tell({ type: 'lanes', lanes: lanesFor(options, begun, policy) })
        return adjusted
      }),
    addTrainer: () => inOrder(addReplica),
    removeTrainer: (name) => inOrder(() => removeReplica(name)),
    restartWorker: (name) => inOrder(() => restartInOrder(name)),
    kill(name, processSignal = 'SIGKILL') {
      const worker = workerOf(name)
      if (worker.processId === undefined) throw new NotPossibleError(`${name} has no process now`)
      worker.kill(processSignal)
    },
    fault(name, fault) {
      workerOf(name)
      const isOfProcess = fault === 'kill' || fault === 'stop'
      if (!isOfProcess && !isComputing(name)) {
        throw new NotPossibleError(`${name} computes no steps: it cannot ${fault}; kill or stop it`)
      }
      world.strike(name, fault)
    },
    members: () => [...workers.values()].map(memberOf),
    team: () => team.replicas.map(headOf),
    begin: (next) => inOrder(() => begin(next)),
  }
}

/** With no new steps nothing will change: the shards keep what is under way for the rest of its round. */
export function isAtRest({ taken }: SourceStatus, shards: readonly ShardStatus[]): boolean {
  return taken.every(({ sequence }) => shards.every(({ held }) => held.includes(sequence)))
}

const appliedOf = ({ appliedBelow, appliedAbove }: ShardStatus): AppliedSet => ({
  below: appliedBelow,
  above: new Set(appliedAbove),
})

function policyOf({ pipeline }: ClusterOptions, text: string): StalenessPolicy {
  const policy = parsedPolicy(text)
  if (!pipeline) return policy
  if (policy.name === 'ssp') {
    throw new NotPossibleError('subnetworks wait for each other already: ssp is not for them')
  }
  if (policy.name === 'hard-sync' && !pipeline.isInStep) {
    throw new NotPossibleError('subnetworks push in step from their start or not at all')
  }
  return policy
}

function parsedPolicy(text: string): StalenessPolicy {
  try {
    return checkShardPolicy(parsePolicy(text))
  } catch (cause) {
    if (cause instanceof PolicyError) throw new OptionError(cause.message, { cause })
    throw cause
  }
}

/** Per shard: what makes of its rate the one that is wanted. */
function scalesFor(
  statuses: readonly ShardStatus[],
  wanted: number | undefined,
): readonly number[] | undefined {
  if (wanted === undefined) return undefined
  if (!(Number.isFinite(wanted) && wanted > 0)) {
    throw new OptionError(`learningRate: ${wanted}; give a number above 0`)
  }
  const scales = statuses.map(({ learningRate }) => wanted / learningRate)
  if (scales.every((scale) => Number.isFinite(scale) && scale > 0)) return scales
  throw new NotPossibleError('the schedule is at a learning rate of 0, of which nothing is a part')
}

/**
 * Steps that one trainer may have under way. hard-sync: a second one would push into the next round. SSP: it
 * would go on while the first waits.
 */
function lanesFor(
  { pipeline, trainer }: ClusterOptions,
  { lanes, start }: PhasePlan,
  policy: StalenessPolicy,
): number {
  const planned = checkShardPolicy(start.policy)
  if (printPolicy(policy) === printPolicy(planned)) return lanes
  if (waitsForOthers(policy)) return 1
  return waitsForOthers(planned) ? (pipeline ?? trainer).lanes : lanes
}

const waitsForOthers = ({ name }: StalenessPolicy): boolean =>
  name === 'hard-sync' || name === 'ssp'
