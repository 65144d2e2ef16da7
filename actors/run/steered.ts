// A run under way, steered from outside: what its state allows is done, the rest is refused by name.
import type { ShardStatus } from '../../protocol/training.ts'
import type { System } from '../../runtime/index.ts'
import type { ChaosFaultName } from '../chaos-plan.ts'
import type { PhaseName } from '../events.ts'
import type { RunInsight } from '../insight.ts'
import type { Life } from './life.ts'
import { type Change, NotPossibleError, type RunMember } from './steering.ts'
import { keep, RunStoppedError, type RunWorld, type UnderWay } from './world.ts'

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

export interface RunSteering {
  readonly state: RunState
  /** The control member; absent while the run begins. */
  readonly system: System | undefined
  /** Hands out no more steps; those under way are finished. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Writes a snapshot of every shard. */
  checkpoint(): Promise<void>
  /** Of the phase under way: the next one begins with its own learning rate. */
  adjust(change: Change): Promise<void>
  shards(): Promise<readonly RunShard[]>
  members(): readonly RunMember[]
  /** One more trainer; answers its name. */
  addWorker(): Promise<string>
  removeWorker(name: string): Promise<void>
  /** In order: no death. */
  restartWorker(name: string): Promise<void>
  kill(name: string): Promise<void>
  fault(name: string, fault: ChaosFaultName): Promise<void>
  /** What there is to look at; absent while the run begins. */
  insight(): RunInsight | undefined
}

export type RunShard = ShardStatus & { readonly offset: number; readonly length: number }

/** What the steering is told by the course of the run. */
export interface Course {
  phase?: PhaseName
  end?: 'finished' | 'stopped' | 'failed'
  ending?: 'draining' | 'stopping'
  isPaused: boolean
}

const phasesBefore: readonly PhaseName[] = ['synthesise', 'prepare', 'align']

export function stateOf({ phase, end, ending, isPaused }: Course): RunState {
  if (end) return end
  if (ending) return ending
  if (phase === undefined || phasesBefore.includes(phase)) return 'preparing'
  if (isPaused) return 'paused'
  return phase === 'evaluate' ? 'evaluating' : 'training'
}

export function endOf(error: unknown): 'stopped' | 'failed' {
  return error instanceof RunStoppedError ? 'stopped' : 'failed'
}

export function steerRun(world: RunWorld, life: Life, course: Course): RunSteering {
  const said = (what: string, detail?: string): void =>
    world.emit({ type: 'steered', what, ...(detail !== undefined && { detail }) })

  /** Throws `NotPossibleError` where there is nothing to steer. */
  function underWay(): UnderWay {
    const { underWay: run } = life
    const state = stateOf(course)
    if (run && !course.end && !course.ending) return run
    throw new NotPossibleError(`the run is ${state}`)
  }

  function strike(name: string, fault: ChaosFaultName): void {
    const { cluster } = underWay()
    if (!cluster.members().some((member) => member.name === name)) {
      throw new NotPossibleError(`${name}: no such process`)
    }
    said(fault, name)
    cluster.strike({ fault, target: name, at: 0 })
  }

  return {
    get state() {
      return stateOf(course)
    },
    get system() {
      return life.system
    },
    async pause() {
      const { cluster } = underWay()
      if (course.isPaused) throw new NotPossibleError('the run is paused already')
      cluster.pause(true)
      course.isPaused = true
      said('paused')
    },
    async resume() {
      const { cluster } = underWay()
      if (!course.isPaused) throw new NotPossibleError('the run is not paused')
      cluster.pause(false)
      course.isPaused = false
      said('resumed')
    },
    async checkpoint() {
      const run = underWay()
      await life.halt.until(run.cluster.checkpoint())
      keep(run)
      said('checkpoint written')
    },
    async adjust(change) {
      const { cluster } = underWay()
      await life.halt.until(cluster.adjust(change))
      const { learningRate, policy } = change
      if (learningRate !== undefined) said('learning rate changed', `${learningRate}`)
      if (policy !== undefined) said('policy changed', policy)
    },
    async shards() {
      const { cluster } = life.underWay ?? {}
      if (!cluster || course.end) return []
      const statuses = await life.halt.until(cluster.statuses())
      return statuses.map((status, index) => ({
        ...status,
        ...(cluster.ranges[index] ?? { offset: 0, length: 0 }),
      }))
    },
    members: () => (course.end ? [] : (life.underWay?.cluster.members() ?? [])),
    async addWorker() {
      const name = await life.halt.until(underWay().cluster.add())
      said('trainer added', name)
      return name
    },
    async removeWorker(name) {
      await life.halt.until(underWay().cluster.remove(name))
      said('trainer removed', name)
    },
    async restartWorker(name) {
      const { cluster } = underWay()
      said('restart', name)
      await life.halt.until(cluster.restart(name))
    },
    kill: async (name) => strike(name, 'kill'),
    fault: async (name, fault) => strike(name, fault),
    insight: () => life.insight,
  }
}
