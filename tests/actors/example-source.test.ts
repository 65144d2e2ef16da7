import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { withApplied } from '../../actors/applied-set.ts'
import {
  beginPhase,
  releaseSteps,
  type SourceState,
  takeStep,
} from '../../actors/example-source.ts'

const phase = (steps: number, below = 0, above: number[] = []) =>
  ({
    ...beginPhase({
      type: 'begin',
      phase: 1,
      kind: 'frames',
      steps,
      lanes: 1,
      applied: { below, above },
      configuration: {},
    }),
    paused: false,
  }) satisfies SourceState

function take(
  state: SourceState,
  trainer: string,
): { sequence: number | undefined; state: SourceState } {
  const taken = takeStep(state)
  if (!taken) return { sequence: undefined, state }
  const owners = new Map(taken.state.taken).set(taken.sequence, trainer)
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
          if (owner !== trainer) continue
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
