import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type Cluster, type PhasePlan, startCluster } from '../../../actors/cluster.ts'
import { NotPossibleError } from '../../../actors/cluster/not-possible.ts'
import type { ClusterOptions } from '../../../actors/cluster/options.ts'
import {
  emptyTeam,
  type Team,
  teamFor,
  withNewcomer,
  without,
} from '../../../actors/cluster/team.ts'
import type { RunEvent } from '../../../actors/events.ts'
import type { FinishedStep } from '../../../actors/example-source.ts'
import { imageSubnetwork } from '../../../actors/image-subnetwork.ts'
import { parameterShard } from '../../../actors/parameter-shard.ts'
import { shardsOfSubnetworks } from '../../../actors/pipeline/processes.ts'
import { OptionError } from '../../../actors/run/options.ts'
import { type StepRequest, sequenceTrainer } from '../../../actors/trainer.ts'
import { optimizerSpec, parsePolicy } from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'
import type { ShardMessage } from '../../../protocol/training.ts'
import { type ComputeThread, createPool } from '../../../runtime/index.ts'
import { createTestKit, type TestKit } from '../../../runtime/simulation/index.ts'
import { gradientOf, PARAMETERS } from '../troupe.ts'
import { formulaThread, WIDTH } from '../pipeline/replicas.ts'

interface Run {
  readonly kit: TestKit
  readonly cluster: Cluster
  readonly finished: readonly FinishedStep[]
  readonly events: readonly RunEvent[]
  readonly gaveUp: readonly string[]
  begin(plan: Partial<PhasePlan['start']>): Promise<void>
}

const STEPS = 160
const RANGES = [
  { offset: 0, length: 6 },
  { offset: 6, length: PARAMETERS - 6 },
]

function squaresThread(kit: TestKit, member: string): ComputeThread {
  const chance = randomFor('steps', member)
  return {
    call(method, argument) {
      if (method !== 'step') return Promise.resolve(undefined)
      const { sequence, parameters, gradient: into } = argument as StepRequest
      const made = gradientOf(sequence, parameters.slice())
      const { promise, resolve } = Promise.withResolvers<unknown>()
      kit.clock.after(5 + chance.below(20), () => {
        into.set(made.gradient)
        resolve({ examples: made.rows, loss: 0, computeMs: 0, rejected: 0, nonFinite: 0 })
      })
      return promise
    },
    close: () => {},
  }
}

/** Two shards and two trainers of two lanes, with their pool, under virtual time. */
async function startRun(
  policy: string,
  {
    changes = {},
    lanes = 2,
    seed = policy,
  }: { changes?: Partial<ClusterOptions>; lanes?: number; seed?: string } = {},
): Promise<Run> {
  const { pipeline } = changes
  const chance = randomFor('micro-batches', policy)
  const kit: TestKit = await createTestKit({
    seed,
    environment: (member) => ({
      compute: {
        start: () =>
          pipeline
            ? formulaThread({
                name: member,
                subnetwork: Number(member.split('-')[1]) % pipeline.subnetworks,
                subnetworks: pipeline.subnetworks,
                micros: pipeline.micros,
                clock: kit.clock,
                microMs: () => 1 + chance.below(8),
                faults: [],
              })
            : squaresThread(kit, member),
      },
    }),
  })
  const definitions = [parameterShard, imageSubnetwork('formula'), sequenceTrainer('formula')]
  const pool = createPool({ system: kit.control, module: kit.workerModule(definitions as never) })
  const finished: FinishedStep[] = []
  const events: RunEvent[] = []
  const gaveUp: string[] = []
  const cluster = startCluster({
    system: kit.control,
    pool,
    clock: kit.clock,
    folder: 'shards',
    ranges: RANGES,
    trainerKind: 'sequence-trainer',
    trainerEngine: () => undefined,
    latticeWorkers: 0,
    trainer: { codec: 'float32', task: {}, lanes: 2, stepMsMax: 5_000 },
    restarts: [],
    emit: (event) => void events.push(event),
    onFinished: (step) => void finished.push(step),
    onGaveUp: (cause) => void gaveUp.push(cause),
    ...changes,
  })
  const count = (changes.ranges ?? RANGES).reduce((sum, { length }) => sum + length, 0)
  const begin = async (start: Partial<PhasePlan['start']>): Promise<void> => {
    const begun = cluster.begin({
      start: {
        phase: 1,
        steps: STEPS,
        optimizer: optimizerSpec('sgd', { schedule: { name: 'constant', rate: 0.02 } }),
        policy: parsePolicy(policy),
        average: { name: 'exponential', decay: 0.9, debias: false },
        ...start,
      },
      kind: pipeline ? 'images' : 'frames',
      trainers: 2,
      lanes,
      parameters: new Float32Array(count).fill(1),
      configuration: {},
    })
    await kit.until(begun)
  }
  await begin({})
  return { kit, cluster, finished, events, gaveUp, begin }
}

/** To the end: every step done once, by every shard. */
async function finish({ kit, cluster, finished, gaveUp }: Run): Promise<void> {
  await kit.until(() => finished.length === STEPS)
  await kit.advance(1_000)
  expect(gaveUp).toEqual([])
  const sequences = finished.map(({ sequence }) => sequence).sort((a, b) => a - b)
  expect(sequences).toEqual(Array.from({ length: STEPS }, (_, index) => index))
  for (const { appliedBelow, updates } of await kit.until(cluster.statuses())) {
    expect({ appliedBelow, applied: updates.applied }).toEqual({
      appliedBelow: STEPS,
      applied: STEPS,
    })
  }
  await kit.until(cluster.stop())
  await kit.stop()
}

async function refusal(run: Run, promise: Promise<unknown>): Promise<Error> {
  const settled = promise.then(
    () => new Error('it was not refused'),
    (error: Error) => error,
  )
  return await run.kit.until(settled)
}

test('paused, no step is handed out and those under way are done; resumed, it goes on', async () => {
  const run = await startRun('downpour')
  const { kit, cluster, finished } = run
  await kit.until(() => finished.length >= 20)
  cluster.pause()
  expect(cluster.isPaused).toBe(true)
  await kit.advance(1_000)
  const done = finished.length
  const status = await kit.until(cluster.sourceStatus())
  expect(status).toEqual({
    phase: 1,
    steps: STEPS,
    finished: done,
    taken: [],
    returned: [],
    paused: true,
  })
  await kit.advance(5_000)
  expect(finished).toHaveLength(done)
  cluster.resume()
  await kit.until(() => finished.length > done)
  await finish(run)
})

for (const policy of ['downpour', 'hard-sync', 'ssp:1', 'softsync:1']) {
  describe(policy, () => {
    const lanes = policy === 'hard-sync' || policy === 'ssp:1' ? 1 : 2

    test('a trainer that is added takes steps, one that is removed takes none, and nothing is lost', async () => {
      const run = await startRun(policy, { lanes })
      const { kit, cluster, finished, events } = run
      await kit.until(() => finished.length >= 20)
      expect(await kit.until(cluster.addTrainer())).toBe('trainer-2')
      expect(cluster.team()).toEqual(['trainer-0', 'trainer-1', 'trainer-2'])
      await kit.until(() => finished.some(({ trainer }) => trainer === 'trainer-2'))
      await kit.until(cluster.removeTrainer('trainer-0'))
      expect(cluster.members().map(({ name }) => name)).not.toContain('trainer-0')
      for (const { trainers } of await kit.until(cluster.statuses())) {
        expect(trainers).toEqual(['trainer-1', 'trainer-2'])
      }
      const done = finished.length
      expect(done).toBeLessThan(STEPS)
      await finish(run)
      const later = new Set(finished.slice(done).map(({ trainer }) => trainer))
      expect([...later].sort()).toEqual(['trainer-1', 'trainer-2'])
      expect(events.filter(({ type }) => type === 'death')).toEqual([])
    })

    test('the step of a trainer that hangs while it is removed is done by another', async () => {
      const run = await startRun(policy, { lanes })
      const { kit, cluster, finished } = run
      await kit.until(() => finished.length >= 20)
      kit.freeze('trainer-1')
      await kit.until(cluster.removeTrainer('trainer-1'))
      expect(finished.length).toBeLessThan(STEPS)
      await finish(run)
    })
  })
}

for (const lanes of [1, 2]) {
  test(`the policy changes under way, as often as one likes, and nothing hangs (${lanes})`, async () => {
    const run = await startRun('downpour', { lanes })
    const { kit, cluster, finished } = run
    const policies = ['hard-sync', 'ssp:1', 'softsync:2', 'downpour:1', 'hard-sync', 'downpour']
    for (const [index, policy] of policies.entries()) {
      await kit.until(() => finished.length >= 10 + 20 * index)
      const statuses = await kit.until(cluster.adjust({ policy }))
      expect(statuses.map((status) => status.policy)).toEqual([policy, policy])
    }
    await finish(run)
  })
}

test('the learning rate becomes what is asked for, whatever the schedule and earlier changes say', async () => {
  const run = await startRun('downpour')
  const { kit, cluster, finished, begin } = run
  await kit.until(() => finished.length >= 10)
  for (const learningRate of [0.1, 0.005, 0.05]) {
    for (const status of await kit.until(cluster.adjust({ learningRate }))) {
      expect(status.learningRate).toBeCloseTo(learningRate, 12)
      expect(status.optimizer).toBe('sgd')
    }
  }
  await kit.until(() => finished.length === STEPS)
  await begin({ phase: 2, steps: 10 })
  const [first] = await kit.until(cluster.statuses())
  expect(first).toMatchObject({ phase: 2, learningRate: 0.02 })
  await kit.stop()
})

test('what makes no sense is refused by name, and changes nothing', async () => {
  const run = await startRun('downpour')
  const { kit, cluster, finished } = run
  await kit.until(() => finished.length >= 5)
  expect(await refusal(run, cluster.adjust({ policy: 'dc-asgd:1' }))).toBeInstanceOf(OptionError)
  expect(await refusal(run, cluster.adjust({ policy: 'often' }))).toBeInstanceOf(OptionError)
  expect(await refusal(run, cluster.adjust({ learningRate: -1 }))).toBeInstanceOf(OptionError)
  for (const name of ['shard-0', 'trainer-7', 'control']) {
    expect(await refusal(run, cluster.removeTrainer(name))).toBeInstanceOf(NotPossibleError)
  }
  expect(() => cluster.kill('trainer-7')).toThrow(NotPossibleError)
  expect(() => cluster.fault('shard-0', 'hang')).toThrow(NotPossibleError)
  await kit.until(cluster.removeTrainer('trainer-1'))
  const last = await refusal(run, cluster.removeTrainer('trainer-0'))
  expect(last.message).toContain('the last trainer')
  expect(cluster.members().map(({ name, isRemovable }) => [name, isRemovable])).toEqual([
    ['shard-0', false],
    ['shard-1', false],
    ['trainer-0', false],
  ])
  for (const status of await kit.until(cluster.placedShards())) {
    expect(status).toMatchObject({ policy: 'downpour', learningRate: 0.02 })
  }
  await finish(run)
})

test('a restart in order is no death and loses nothing: the next life goes on', async () => {
  const run = await startRun('downpour')
  const { kit, cluster, finished, events } = run
  await kit.until(() => finished.length >= 20)
  const before = cluster.members()
  for (const name of ['trainer-1', 'shard-0']) await kit.until(cluster.restartWorker(name))
  const lives = new Map(cluster.members().map(({ name, incarnation }) => [name, incarnation]))
  for (const { name, incarnation } of before) {
    const isRestarted = ['trainer-1', 'shard-0'].includes(name)
    expect(lives.get(name)).toBe(incarnation + (isRestarted ? 1 : 0))
  }
  const done = finished.length
  await kit.until(() => finished.slice(done).some(({ trainer }) => trainer === 'trainer-1'))
  await finish(run)
  expect(cluster.restarts()).toEqual([])
  expect(events.filter(({ type }) => type === 'death')).toEqual([])
})

test('a paused round that is not full does not keep a trainer from its restart', async () => {
  const run = await startRun('hard-sync', { lanes: 1 })
  const { kit, cluster, finished } = run
  await kit.until(() => finished.length >= 20)
  await kit.until(cluster.addTrainer())
  cluster.pause()
  const keptOf = async () =>
    Math.max(...(await kit.until(cluster.statuses())).map((s) => s.held.length))
  await kit.advance(1_000)
  expect(await keptOf()).toBeGreaterThan(0)
  const begun = kit.clock.now()
  for (const name of ['trainer-0', 'trainer-1']) await kit.until(cluster.restartWorker(name))
  expect(kit.clock.now() - begun).toBeLessThan(5_000)
  cluster.resume()
  await finish(run)
})

test('a phase that another life of the run began with another team does not wait for it', async () => {
  const run = await startRun('hard-sync', { lanes: 1 })
  const { kit, cluster, finished, begin } = run
  await kit.until(() => finished.length >= 20)
  const trainers = ['trainer-0', 'trainer-1', 'trainer-2', 'trainer-3']
  for (const member of ['shard-0', 'shard-1']) {
    const shard = kit.control.ref<ShardMessage>({ member, path: '/shard' })
    const adjust = { type: 'adjust', adjustment: { change: 7, trainers } } as const
    await kit.until(kit.control.ask(shard, adjust, { timeoutMs: 1_000 }))
  }
  // As a resumed run does: the shards are in the phase already, and the team is that of the plan.
  await begin({})
  for (const { trainers, change } of await kit.until(cluster.statuses())) {
    expect({ trainers, change }).toEqual({ trainers: ['trainer-0', 'trainer-1'], change: 8 })
  }
  await finish(run)
})

const policies = ['downpour', 'hard-sync', 'ssp:1', 'softsync:1', 'staleness-aware', 'downpour:2']

test('whatever is done to a run, in whatever order, while its processes die: nothing is lost', async () => {
  let refusals = 0
  for (let seed = 0; seed < 12; seed++) {
    const chance = randomFor('steered', seed)
    const pick = <T>(choices: readonly T[]): T => choices[chance.below(choices.length)]!
    const policy = pick(policies)
    const lanes = policy === 'hard-sync' || policy === 'ssp:1' ? 1 : 2
    const run = await startRun(policy, { lanes, seed: `steered/${seed}` })
    const { kit, cluster, finished } = run
    const anyone = () => pick(cluster.members()).name
    const deeds: readonly (() => Promise<unknown>)[] = [
      async () => cluster.pause(),
      async () => cluster.resume(),
      () => cluster.adjust({ policy: pick(policies) }),
      () => cluster.adjust({ learningRate: 0.001 * (1 + chance.below(20)) }),
      () => cluster.addTrainer(),
      () => cluster.removeTrainer(anyone()),
      () => cluster.restartWorker(anyone()),
      async () => cluster.kill(anyone()),
    ]
    const done: Promise<unknown>[] = []
    for (let deed = 0; deed < 16 && finished.length < STEPS; deed++) {
      const doing = pick(deeds)()
      const refused = (error: Error): void => {
        expect(error).toBeInstanceOf(NotPossibleError)
        refusals += 1
      }
      done.push(doing.catch(refused))
      await kit.advance(chance.below(150))
    }
    cluster.resume()
    await kit.until(Promise.all(done), 200_000)
    await finish(run)
  }
  expect(refusals).toBeGreaterThan(0)
})

test('replicas of subnetworks are added and removed whole', async () => {
  const { ranges, owners } = shardsOfSubnetworks([WIDTH, WIDTH], 2)
  for (const policy of ['downpour', 'hard-sync']) {
    const isInStep = policy === 'hard-sync'
    const pipeline = { subnetworks: 2, owners, micros: 2, lanes: isInStep ? 1 : 2, isInStep }
    const changes = {
      ranges,
      trainerKind: 'image-subnetwork',
      pipeline: { ...pipeline, partOf: (part: number) => ({ part }) },
    }
    const run = await startRun(policy, { changes, lanes: pipeline.lanes })
    const { kit, cluster, finished, events } = run
    await kit.until(() => finished.length >= 20)
    expect(await kit.until(cluster.addTrainer())).toBe('subnetwork-4')
    await kit.until(() => finished.some(({ trainer }) => trainer === 'subnetwork-4'))
    await kit.until(cluster.removeTrainer('subnetwork-1'))
    expect(cluster.team()).toEqual(['subnetwork-2', 'subnetwork-4'])
    const [first, second] = await kit.until(cluster.statuses())
    expect(first!.trainers).toEqual(['subnetwork-2', 'subnetwork-4'])
    expect(second!.trainers).toEqual(['subnetwork-3', 'subnetwork-5'])
    const ssp = await refusal(run, cluster.adjust({ policy: 'ssp:1' }))
    expect(ssp).toBeInstanceOf(NotPossibleError)
    expect(finished.length).toBeLessThan(STEPS)
    await finish(run)
    expect(events.filter(({ type }) => type === 'death')).toEqual([])
  }
})

test('a name is never used again, and a team is never empty', () => {
  const moves = fc.array(fc.nat({ max: 9 }), { maxLength: 40 })
  fc.assert(
    fc.property(moves, (chosen) => {
      let team: Team = teamFor(emptyTeam(2), 1)
      const seen = new Set(team.replicas)
      for (const move of chosen) {
        const before = team
        if (move < 3) team = withNewcomer(team)
        else if (move < 6) team = teamFor(team, 1 + (move % 2))
        else if (team.replicas.length > 1) {
          const leaving = team.replicas[move % team.replicas.length]!
          team = without(team, leaving)
          expect(team.removed.has(leaving)).toBe(true)
        }
        expect(team.replicas.length).toBeGreaterThan(0)
        expect(new Set(team.replicas).size).toBe(team.replicas.length)
        for (const replica of team.replicas) expect(before.removed.has(replica)).toBe(false)
        if (move < 3) expect(seen.has(team.replicas.at(-1)!)).toBe(false)
        for (const replica of team.replicas) seen.add(replica)
      }
    }),
    { seed: 3 },
  )
})
