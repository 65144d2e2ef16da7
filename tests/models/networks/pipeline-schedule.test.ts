import { describe, expect, test } from 'bun:test'
import {
  decideMove,
  inFlight,
  inFlightMax,
  isBack,
  newPass,
  type Pass,
} from '../../../models/networks/pipeline-schedule.ts'
import { randomFor } from '../../../protocol/random.ts'

interface Simulated {
  readonly subnetworks: number
  readonly micros: number
  /** Minibatches, all there from the start. */
  readonly minibatches: number
  readonly durationMs: (subnetwork: number, type: 'forward' | 'backward') => number
  readonly transferMs?: () => number
}

interface Done {
  readonly type: 'forward' | 'backward'
  readonly pass: number
  readonly micro: number
}

/** A pipeline of formulas; every stage moves as `decideMove` says. Deterministic: events in order of time. */
function simulate(options: Simulated): { endMs: number; done: Done[][]; held: number[] } {
  const { subnetworks, micros, minibatches, durationMs, transferMs = () => 0 } = options
  const stages = Array.from({ length: subnetworks }, (_, subnetwork) => ({
    subnetworks,
    subnetwork,
    passes: Array.from({ length: minibatches }, (_, pass): Pass => {
      return { ...newPass(pass, micros, subnetwork === 0 ? micros : 0), isReady: true }
    }),
    isBusy: false,
    /** Messages of one sender arrive in order. */
    lastArrivalMs: [0, 0],
  }))
  const done: Done[][] = stages.map(() => [])
  const held = stages.map(() => 0)
  const events: { at: number; order: number; run: (now: number) => void }[] = []
  let order = 0
  const later = (at: number, run: (now: number) => void) =>
    void events.push({ at, order: order++, run })
  const send = (now: number, to: number, way: 0 | 1, run: (pass: Pass) => void, pass: number) => {
    const stage = stages[to]
    if (!stage) return
    const at = Math.max(now + transferMs(), stage.lastArrivalMs[way]!)
    stage.lastArrivalMs[way] = at
    later(at, (when) => {
      run(stage.passes[pass]!)
      move(when, to)
    })
  }
  const move = (now: number, index: number): void => {
    const stage = stages[index]!
    if (stage.isBusy) return
    const next = decideMove(stage)
    if (next.type === 'wait') return
    stage.isBusy = true
    const pass = stage.passes[next.pass]!
    if (next.type === 'forward') pass.forwarded += 1
    held[index] = Math.max(held[index]!, inFlight(stage))
    later(now + durationMs(index, next.type), (when) => {
      stage.isBusy = false
      done[index]!.push({ type: next.type, pass: next.pass, micro: next.micro })
      if (next.type === 'forward') send(when, index + 1, 0, (p) => (p.arrived += 1), next.pass)
      else {
        pass.backwarded += 1
        send(when, index - 1, 1, (p) => (p.returned += 1), next.pass)
      }
      move(when, index)
    })
  }
  stages.forEach((_, index) => move(0, index))
  let endMs = 0
  while (events.length > 0) {
    events.sort((a, b) => a.at - b.at || a.order - b.order)
    const { at, run } = events.shift()!
    endMs = at
    run(at)
  }
  for (const { passes } of stages) expect(passes.every(isBack)).toBe(true)
  return { endMs, done, held }
}

describe('one-forward-one-backward', () => {
  test('comes to an end, does everything once and in order, and holds no more than it may', () => {
    for (let seed = 0; seed < 150; seed++) {
      const random = randomFor('schedule', seed)
      const [subnetworks, micros, minibatches] = [
        1 + (seed % 5),
        1 + random.below(6),
        1 + random.below(5),
      ]
      const { done, held } = simulate({
        subnetworks,
        micros,
        minibatches,
        durationMs: () => random.below(30),
        transferMs: () => random.below(10),
      })
      const all = Array.from({ length: minibatches * micros }, (_, i) => ({
        pass: Math.floor(i / micros),
        micro: i % micros,
      }))
      for (const [subnetwork, moves] of done.entries()) {
        for (const type of ['forward', 'backward'] as const) {
          const own = moves.filter((move) => move.type === type)
          expect(own.map(({ pass, micro }) => ({ pass, micro }))).toEqual(all)
        }
        expect(held[subnetwork]!).toBeLessThanOrEqual(inFlightMax({ subnetworks, subnetwork }))
      }
    }
  })

  test('with a flush after M micro-batches idles (K - 1) / (M + K - 1) of the time', () => {
    for (const [subnetworks, micros] of [
      [1, 4],
      [2, 3],
      [3, 8],
      [4, 4],
      [4, 16],
    ] as const) {
      const durationMs = (_: number, type: string) => (type === 'forward' ? 1 : 2)
      const { endMs } = simulate({ subnetworks, micros, minibatches: 1, durationMs })
      expect(1 - (3 * micros) / endMs).toBeCloseTo(
        (subnetworks - 1) / (micros + subnetworks - 1),
        12,
      )
    }
  })

  test('alternates in every subnetwork while the pipeline is full', () => {
    const durationMs = (_: number, type: string) => (type === 'forward' ? 1 : 2)
    const { done } = simulate({ subnetworks: 3, micros: 1, minibatches: 30, durationMs })
    for (const [subnetwork, moves] of done.entries()) {
      const warm = 2 * (3 - subnetwork)
      const steady = moves.slice(warm, -warm).map(({ type }) => type)
      steady.forEach((type, i) => expect(type).not.toBe(steady[i + 1] as never))
    }
  })

  test('waits for parameters, and never goes past a pass that does', () => {
    const waiting = newPass(7, 2, 2)
    const ready = { ...newPass(8, 2, 2), isReady: true }
    const stage = { subnetworks: 3, subnetwork: 0, passes: [waiting, ready] }
    expect(decideMove(stage)).toEqual({ type: 'wait' })
    waiting.isReady = true
    expect(decideMove(stage)).toEqual({ type: 'forward', pass: 7, micro: 0 })
  })
})
