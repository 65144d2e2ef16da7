import { expect, test } from 'bun:test'
import { latticeWorker } from '../../actors/lattice-worker.ts'
import { patience, patiently } from '../../actors/parameter-client.ts'
import type { LatticeMessage } from '../../protocol/training.ts'
import { createSystem, type Ref } from '../../runtime/index.ts'
import { createWorld } from '../../runtime/simulation/world.ts'

/** A worker that many trainers ask, all the time; answers how many steps got lattices, and how many were made. */
async function serve({ trainers, makeMs }: { trainers: number; makeMs: number }, ms: number) {
  const world = createWorld()
  const { clock } = world
  const wait = (delay: number) => new Promise<void>((resolve) => clock.after(delay, resolve))
  let [made, served, sequence] = [0, 0, 0]
  const compute = {
    async call(method: string) {
      if (method !== 'lattices') return undefined
      await wait(makeMs)
      made += 1
      return []
    },
    close: () => {},
  }
  const environment = { ...world.environment('lattices'), compute: { start: () => compute } }
  const system = createSystem({ environment, member: 'lattices' })
  const config = { shards: [], stepMsMax: 100_000, task: {} }
  const ref: Ref<LatticeMessage> = system.spawn(latticeWorker('none'), config, {
    name: 'lattices',
  }) as never
  const trainer = async (): Promise<void> => {
    for (;;) {
      const make = { type: 'make', phase: 1, sequence: sequence++, configuration: {} } as const
      const limits = { timeoutMs: patience.askTimeoutMs }
      await patiently(clock, patience, () => system.ask(ref, make, limits))
      served += 1
      await wait(10)
    }
  }
  for (let i = 0; i < trainers; i++) void trainer()
  await clock.advance(ms)
  return { made, served }
}

test('lattices asked for again, out of patience, are made once and reach the asker', async () => {
  // Eight steps take 24 s to make, a trainer asks again after 20 s.
  const { made, served } = await serve({ trainers: 8, makeMs: 3_000 }, 600_000)
  expect(made).toBeGreaterThan(190)
  expect(served).toBeGreaterThanOrEqual(made - 1)
})

test('lattices that take longer than the patience of their asker still reach it', async () => {
  const { made, served } = await serve({ trainers: 1, makeMs: 31_000 }, 600_000)
  expect(made).toBeGreaterThan(15)
  expect(served).toBe(made)
})
