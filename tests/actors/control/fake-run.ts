// A run that trains nothing: what a control plane shows and steers, under the hand of a test.
import type { RunEvent } from '../../../actors/events.ts'
import type { Run } from '../../../actors/launch.ts'
import { NotPossibleError } from '../../../actors/cluster/not-possible.ts'
import type { Adjusting, ClusterMember } from '../../../actors/cluster/steering.ts'
import type { RunState } from '../../../actors/run/steering.ts'

export interface FakeRun {
  readonly run: Run
  /** What it was asked for, in order. */
  readonly asked: string[]
  emit(event: RunEvent): Promise<void>
  become(state: RunState): void
  end(error?: Error): Promise<void>
}

export function fakeRun(id = 'fake-1'): FakeRun {
  const asked: string[] = []
  let state: RunState = 'training'
  const waiting: RunEvent[] = []
  let wake = Promise.withResolvers<void>()
  let isOver = false
  const done = Promise.withResolvers<never>()
  done.promise.catch(() => {})
  let next = 2
  let trainers = ['trainer-0', 'trainer-1']
  const member = (name: string, role: ClusterMember['role']): ClusterMember => ({
    name,
    role,
    state: 'ready',
    incarnation: 1,
    processId: 1,
    device: undefined,
    isRemovable: role === 'trainer' && trainers.length > 1,
  })
  const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))
  const run: Run = {
    id,
    task: 'speech',
    options: { policy: 'downpour', seed: 1, out: `runs/${id}`, workers: 2 } as Run['options'],
    url: undefined,
    pageUrl: undefined,
    get state() {
      return state
    },
    system: undefined,
    done: done.promise,
    async *events() {
      for (;;) {
        while (waiting.length > 0) yield waiting.shift()!
        if (isOver) return
        await wake.promise
      }
    },
    async pause() {
      if (state === 'paused') throw new NotPossibleError('the run is paused already')
      state = 'paused'
    },
    async resume() {
      state = 'training'
    },
    checkpoint: async () => void asked.push('checkpoint'),
    adjust: async (change: Adjusting) => {
      asked.push(`adjust ${JSON.stringify(change)}`)
      return []
    },
    shards: async () => [],
    members: () => [...trainers.map((name) => member(name, 'trainer')), member('shard-0', 'shard')],
    async addWorker() {
      const name = `trainer-${next++}`
      trainers = [...trainers, name]
      return name
    },
    async removeWorker(name) {
      if (!trainers.includes(name)) throw new NotPossibleError(`${name} is no trainer`)
      trainers = trainers.filter((each) => each !== name)
    },
    restartWorker: async (name) => void asked.push(`restart ${name}`),
    kill: async (name) => void asked.push(`kill ${name}`),
    fault: async (name, fault) => void asked.push(`${fault} ${name}`),
    insight: () => undefined,
    stop: async () => void asked.push('stop'),
    drain: async () => void asked.push('drain'),
    [Symbol.asyncDispose]: async () => {},
  }
  return {
    run,
    asked,
    async emit(event) {
      waiting.push(event)
      wake.resolve()
      wake = Promise.withResolvers()
      await settle()
    },
    become(now) {
      state = now
    },
    async end(error = new Error('stopped')) {
      isOver = true
      state = 'stopped'
      wake.resolve()
      done.reject(error)
      await settle()
    },
  }
}

/** As an observer has it. */
export function memberWith(count: number) {
  const actors = Array.from({ length: count }, (_, index) => ({
    path: `/actor-${index}`,
    kind: 'some-kind',
    incarnation: 2 ** 32 + index,
    mailboxMessages: index % 100,
    restarts: 0,
    restart: 'transient' as const,
  }))
  return { member: 'control', incarnation: 1, actors, links: [], isStale: false, seenAt: 1 }
}
