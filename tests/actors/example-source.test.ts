import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { withApplied } from '../../actors/applied-set.ts'
import {
  beginPhase,
  exampleSource,
  releaseSteps,
  type SourceConfig,
  type SourceState,
  takeStep,
} from '../../actors/example-source.ts'
import type { SourceStatus, Work } from '../../protocol/training.ts'
import type { Ref } from '../../runtime/index.ts'

const BEGIN = {
  type: 'begin',
  phase: 1,
  kind: 'frames',
  steps: 10,
  lanes: 1,
  applied: { below: 0, above: [] as number[] },
  configuration: {},
} as const

const phase = (steps: number, below = 0, above: number[] = []) =>
  ({
    ...beginPhase({ ...BEGIN, steps, applied: { below, above } }),
    paused: false,
    retired: new Map(),
  }) satisfies SourceState

const laneOf = (trainer: string, lane = 0) => ({ trainer, incarnation: 1, lane })

function take(
  state: SourceState,
  trainer: string,
): { sequence: number | undefined; state: SourceState } {
  const taken = takeStep(state)
  if (!taken) return { sequence: undefined, state }
  const owners = new Map(taken.state.taken).set(taken.sequence, laneOf(trainer))
  return { sequence: taken.sequence, state: { ...taken.state, taken: owners } }
}

test('every step is handed out once while nobody dies', () => {
  let state: SourceState = phase(5)
  const given: (number | undefined)[] = []
  for (let i = 0; i < 7; i++) {
    const taken = take(state, `trainer-${i % 2}`)
    given.push(taken.sequence)
    state = taken.state
  }
  expect(given).toEqual([0, 1, 2, 3, 4, undefined, undefined])
})

test('the steps of a dead trainer go out again, before new ones, oldest first', () => {
  let state: SourceState = phase(10)
  for (const trainer of ['a', 'b', 'a', 'b']) state = take(state, trainer).state
  state = { ...state, ...releaseSteps(state, 'a') }
  const again: (number | undefined)[] = []
  for (let i = 0; i < 3; i++) {
    const taken = take(state, 'b')
    again.push(taken.sequence)
    state = taken.state
  }
  expect(again).toEqual([0, 2, 4])
})

test('a resumed phase hands out only what some shard lacks', () => {
  let state: SourceState = phase(8, 3, [4, 6])
  const given: (number | undefined)[] = []
  for (let i = 0; i < 4; i++) {
    const taken = take(state, 'a')
    given.push(taken.sequence)
    state = taken.state
  }
  expect(given).toEqual([3, 5, 7, undefined])
})

test('a lane that asks again, its answer lost, is given the same step; another lane is not', () => {
  const answers: Work[] = []
  const replyTo = { tell: (work: Work) => void answers.push(work) } as unknown as Ref<Work>
  const ask = (trainer: string, lane: number) =>
    ({ type: 'next', ...laneOf(trainer, lane), replyTo }) as const
  const twoLanes = beginPhase({ ...BEGIN, lanes: 2 })
  let state: SourceState & SourceConfig = {
    ...twoLanes,
    paused: false,
    retired: new Map(),
    onFinished: () => {},
  }
  const asks = [ask('a', 0), ask('a', 0), ask('a', 1), ask('b', 0), ask('a', 0)]
  for (const message of asks) {
    const result = exampleSource.receive(state, message, undefined as never)
    if (result.type === 'continue') state = result.state
  }
  const steps = answers.map((work) => (work.type === 'step' ? work.sequence : undefined))
  expect(steps).toEqual([0, 0, 1, 2, 0])
})

test('a paused source hands out nothing', () => {
  expect(takeStep({ ...phase(3), paused: true })).toBeUndefined()
})

test('whatever dies when, every step is finished exactly once and nothing is left', () => {
  const action = fc.record({ trainer: fc.nat(3), dies: fc.boolean() })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
      let state: SourceState = phase(12)
      const finish = (trainer: string) => {
        for (const [sequence, owner] of state.taken) {
          if (owner.trainer !== trainer) continue
          const taken = new Map(state.taken)
          taken.delete(sequence)
          state = { ...state, taken, finished: withApplied(state.finished, sequence) }
        }
      }
      for (const { trainer, dies } of actions) {
        if (dies) state = { ...state, ...releaseSteps(state, `${trainer}`) }
        else {
          finish(`${trainer}`)
          state = take(state, `${trainer}`).state
        }
      }
      for (let i = 0; i < 40; i++) {
        for (const trainer of ['0', '1', '2', '3']) finish(trainer)
        state = take(state, '0').state
      }
      expect(state.finished).toEqual({ below: 12, above: new Set() })
      expect(state.returned).toEqual([])
    }),
  )
})

test('a retired trainer finishes what it has and is given no more; its next life is', () => {
  const answers: Work[] = []
  const statuses: SourceStatus[] = []
  const replyTo = { tell: (work: Work) => void answers.push(work) } as unknown as Ref<Work>
  const reportTo = { tell: (status: SourceStatus) => void statuses.push(status) } as never
  const begun = beginPhase({ ...BEGIN, lanes: 2 })
  let state: SourceState & SourceConfig = {
    ...begun,
    paused: false,
    retired: new Map(),
    onFinished: () => {},
  }
  const ask = (incarnation: number, lane = 0) =>
    ({ type: 'next', trainer: 'a', incarnation, lane, replyTo }) as const
  const messages = [
    ask(1),
    { type: 'retire', trainer: 'a', incarnation: 1 },
    ask(1, 1),
    ask(1),
    { type: 'status', replyTo: reportTo },
    { type: 'release', trainer: 'a' },
    { type: 'lanes', lanes: 1 },
    ask(2, 1),
    ask(2),
  ] as const
  for (const message of messages) {
    const result = exampleSource.receive(state, message, undefined as never)
    if (result.type === 'continue') state = result.state
  }
  const steps = answers.map((work) => (work.type === 'step' ? work.sequence : undefined))
  expect(steps).toEqual([0, undefined, 0, undefined, 0])
  expect(statuses).toEqual([
    {
      phase: 1,
      steps: 10,
      finished: 0,
      taken: [{ sequence: 0, trainer: 'a', lane: 0 }],
      returned: [],
      paused: false,
    },
  ])
})
