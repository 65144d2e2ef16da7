// What people and scripts may do to a run, and when: each verb says why where it makes no sense, and tells
// whoever listens to the run what was done.
import type { ShardStatus } from '../../protocol/training.ts'
import type { Process } from '../../runtime/environment.ts'
import type { System } from '../../runtime/index.ts'
import type { ChaosFaultName } from '../chaos-plan.ts'
import { NotPossibleError } from '../cluster/not-possible.ts'
import type { PlacedShard } from '../cluster/shards.ts'
import type { Adjusting, ClusterMember } from '../cluster/steering.ts'
import { keep, type RunWorld, type UnderWay } from './world.ts'

export type RunState =
  | 'preparing'
  | 'training'
  | 'paused'
  | 'evaluating'
  | 'draining'
  | 'stopping'
  | 'finished'
  | 'stopped'
  | 'failed'

/** Verbs reject with `NotPossibleError` where they make no sense as things are. */
export interface RunSteering {
  /** For URLs; no other run of this process has it. */
  readonly id: string
  readonly state: RunState
  /** Of the control member, once there is one. */
  readonly system: System | undefined
  /** No step is given out any more; those under way are finished. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Writes down what the shards have; training goes on. */
  checkpoint(): Promise<void>
  /** Gives out no more steps, waits for those under way, checkpoints, and ends as `stop` does. */
  drain(): Promise<void>
  /** For the phase under way. Rejects with `OptionError` where there is no such rate or policy. */
  adjust(wanted: Adjusting): Promise<readonly ShardStatus[]>
  shards(): Promise<readonly PlacedShard[]>
  /** Its processes; none before there are any. */
  members(): readonly ClusterMember[]
  /** Starts one more trainer (or replica) and answers its name. */
  addWorker(): Promise<string>
  /** What it has under way is finished, or done by another. */
  removeWorker(name: string): Promise<void>
  /** In order; this is no death. */
  restartWorker(name: string): Promise<void>
  kill(name: string, processSignal?: Parameters<Process['kill']>[0]): Promise<void>
  fault(name: string, fault: ChaosFaultName): Promise<void>
}

type Verbs = Omit<RunSteering, 'id' | 'state' | 'system' | 'drain'>

export function verbsOf({
  world,
  underWay,
  stateNow,
  done,
}: {
  readonly world: RunWorld
  readonly underWay: () => UnderWay | undefined
  readonly stateNow: () => RunState
  readonly done: Promise<unknown>
}): Verbs {
  const over = done.then(hasEnded, hasEnded)
  over.catch(() => {})
  /** What is asked of processes that end is not waited for. */
  const untilOver = <T>(promise: Promise<T>): Promise<T> => Promise.race([promise, over])
  const steered = (what: string, detail?: string): void =>
    world.emit({ type: 'steered', what, ...(detail !== undefined && { detail }) })

  const runIn = (...states: readonly RunState[]): UnderWay => {
    const run = underWay()
    const state = stateNow()
    if (run && states.includes(state)) return run
    throw new NotPossibleError(reasons[state])
  }
  const alive = () => runIn('training', 'paused', 'evaluating')

  return {
    async pause() {
      const { cluster } = runIn('training')
      cluster.pause()
      steered('paused')
    },
    async resume() {
      const { cluster } = alive()
      if (!cluster.isPaused) throw new NotPossibleError('the run is not paused')
      cluster.resume()
      steered('resumed')
    },
    async checkpoint() {
      const run = alive()
      await untilOver(run.cluster.checkpoint())
      keep(run)
      steered('checkpoint')
    },
    async adjust(wanted) {
      const { cluster } = runIn('training', 'paused')
      const adjusted = await untilOver(cluster.adjust(wanted))
      steered('adjusted', describe(wanted))
      return adjusted
    },
    async shards() {
      const run = underWay()
      if (!run) throw new NotPossibleError(reasons[stateNow()])
      return await untilOver(run.cluster.placedShards())
    },
    members: () => underWay()?.cluster.members() ?? [],
    async addWorker() {
      const name = await untilOver(runIn('training', 'paused').cluster.addTrainer())
      steered('added', name)
      return name
    },
    async removeWorker(name) {
      await untilOver(runIn('training', 'paused').cluster.removeTrainer(name))
      steered('removed', name)
    },
    async restartWorker(name) {
      await untilOver(alive().cluster.restartWorker(name))
      steered('restarted', name)
    },
    async kill(name, processSignal = 'SIGKILL') {
      alive().cluster.kill(name, processSignal)
      steered('killed', `${name} by ${processSignal}`)
    },
    async fault(name, fault) {
      alive().cluster.fault(name, fault)
      steered('struck', `${name} by ${fault}`)
    },
  }
}

function hasEnded(): never {
  throw new NotPossibleError('the run has ended')
}

/** Why a verb makes no sense in this state. */
export const reasons: { readonly [State in RunState]: string } = {
  preparing: 'the run is preparing: nothing is training yet',
  training: 'the run is training',
  paused: 'the run is paused already',
  evaluating: 'the run is evaluating: no steps are given out now',
  draining: 'the run is draining: it ends when its steps are done',
  stopping: 'the run is stopping',
  finished: 'the run has finished',
  stopped: 'the run was stopped: resume it as a new one',
  failed: 'the run has failed',
}

function describe({ learningRate, policy }: Adjusting): string {
  return [
    ...(learningRate === undefined ? [] : [`learning rate ${learningRate}`]),
    ...(policy === undefined ? [] : [`policy ${policy}`]),
  ].join(', ')
}

const taken = new Set<string>()

/** The name of its folder; a later run of this process in a folder of the same name is numbered. */
export function runIdOf(folder: string): string {
  const name = folder.split(/[/\\]/).findLast((part) => /\w/.test(part)) ?? 'run'
  const base = name.replace(/[^\w-]+/g, '-').slice(0, 64)
  let id = base
  for (let number = 2; taken.has(id); number++) id = `${base}-${number}`
  taken.add(id)
  return id
}
