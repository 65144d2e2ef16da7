import { describe, expect, test } from 'bun:test'
import { type Cluster, startCluster } from '../../../actors/cluster.ts'
import type { RunEvent } from '../../../actors/events.ts'
import type { FinishedStep } from '../../../actors/example-source.ts'
import { imageSubnetwork } from '../../../actors/image-subnetwork.ts'
import { parameterShard } from '../../../actors/parameter-shard.ts'
import { shardsOfSubnetworks } from '../../../actors/pipeline/processes.ts'
import { optimizerSpec, parsePolicy } from '../../../models/optimizers/index.ts'
import { randomFor } from '../../../protocol/random.ts'
import { createPool } from '../../../runtime/index.ts'
import { createTestKit, type TestKit } from '../../../runtime/simulation/index.ts'
import { formulaThread, WIDTH } from './replicas.ts'

interface Run {
  readonly kit: TestKit
  readonly cluster: Cluster
  readonly finished: readonly FinishedStep[]
  readonly events: readonly RunEvent[]
  readonly faults: readonly string[]
  readonly gaveUp: readonly string[]
}

const SUBNETWORKS = 3
const MICROS = 2
const STEPS = 120

/** The cluster of a run with its pool and processes, all under virtual time. */
async function startRun(seed: string, policy: string, steps = STEPS): Promise<Run> {
  const faults: string[] = []
  const chance = randomFor(seed, 'micro-batches')
  const kit: TestKit = await createTestKit({
    seed,
    environment: (member) => ({
      compute: {
        start: () =>
          formulaThread({
            name: member,
            subnetwork: Number(member.split('-')[1]) % SUBNETWORKS,
            subnetworks: SUBNETWORKS,
            micros: MICROS,
            clock: kit.clock,
            microMs: () => 1 + chance.below(8),
            faults,
          }),
      },
    }),
  })
  const definitions = [parameterShard, imageSubnetwork('formula')]
  const pool = createPool({ system: kit.control, module: kit.workerModule(definitions) })
  const { ranges, owners } = shardsOfSubnetworks([WIDTH, WIDTH, WIDTH], 4)
  const finished: FinishedStep[] = []
  const events: RunEvent[] = []
  const gaveUp: string[] = []
  const isInStep = policy === 'hard-sync'
  const cluster = startCluster({
    system: kit.control,
    pool,
    clock: kit.clock,
    folder: 'shards',
    ranges,
    trainerKind: 'image-subnetwork',
    trainerEngine: () => undefined,
    latticeWorkers: 0,
    pipeline: {
      subnetworks: SUBNETWORKS,
      owners,
      micros: MICROS,
      lanes: isInStep ? 1 : SUBNETWORKS,
      isInStep,
      partOf: (subnetwork) => ({ part: subnetwork }),
    },
    trainer: { codec: 'float32', task: {}, lanes: 1, stepMsMax: 5_000 },
    restarts: [],
    emit: (event) => void events.push(event),
    onFinished: (step) => void finished.push(step),
    onGaveUp: (cause) => void gaveUp.push(cause),
  })
  const begun = cluster.begin({
    start: {
      phase: 1,
      steps,
      optimizer: optimizerSpec('sgd', { schedule: { name: 'constant', rate: 0.02 } }),
      policy: parsePolicy(policy),
      average: { name: 'exponential', decay: 0.9, debias: false },
    },
    kind: 'images',
    trainers: 2,
    lanes: isInStep ? 1 : SUBNETWORKS,
    parameters: new Float32Array(SUBNETWORKS * WIDTH).fill(1),
    configuration: {},
  })
  await kit.until(begun)
  return { kit, cluster, finished, events, faults, gaveUp }
}

describe('a run of two replicas of three subnetworks', () => {
  for (const policy of ['downpour', 'hard-sync']) {
    test(`goes on when its processes are killed, and says so (${policy})`, async () => {
      const { kit, cluster, finished, events, faults, gaveUp } = await startRun(policy, policy)
      const killed = ['subnetwork-4', 'subnetwork-0', 'shard-1', 'subnetwork-2', 'subnetwork-3']
      for (const [index, name] of killed.entries()) {
        await kit.until(() => finished.length >= 8 + 20 * index)
        kit.kill(name)
      }
      await kit.until(() => finished.length === STEPS)
      expect(gaveUp).toEqual([])
      expect(faults).toEqual([])
      const sequences = finished.map(({ sequence }) => sequence).sort((a, b) => a - b)
      expect(sequences).toEqual(Array.from({ length: STEPS }, (_, index) => index))
      for (const { appliedBelow, updates } of await kit.until(cluster.statuses())) {
        expect(appliedBelow).toBe(STEPS)
        expect(updates.applied).toBe(STEPS)
      }
      const restarts = cluster.restarts()
      expect(restarts.map(({ actor }) => actor).sort()).toEqual([...killed].sort())
      for (const { recoveredMs } of restarts) expect(recoveredMs).toBeGreaterThan(0)
      expect(events.filter(({ type }) => type === 'death')).toHaveLength(killed.length)
      await kit.until(cluster.stop())
      await kit.stop()
    })
  }

  for (const victim of [0, 1, 2]) {
    test(`loses and doubles nothing when subnetwork ${victim} crashes at any message`, async () => {
      const chance = randomFor('crashes', victim)
      let crashes = 0
      for (let run = 0; run < 8; run++) {
        const policy = run % 2 === 0 ? 'downpour' : 'hard-sync'
        const { kit, cluster, finished, faults } = await startRun(`${victim}/${run}`, policy, 24)
        const when = run % 4 < 2 ? 'before' : 'after'
        for (let crash = 0; crash < 2; crash++) {
          const atStep = 1 + chance.below(150)
          kit.faults.crash('/subnetwork', { member: `subnetwork-${victim}`, atStep, when })
        }
        await kit.until(() => finished.length === 24)
        expect(faults).toEqual([])
        crashes += cluster.restarts().length
        for (const { appliedBelow, updates } of await kit.until(cluster.statuses())) {
          expect({ appliedBelow, applied: updates.applied }).toEqual({
            appliedBelow: 24,
            applied: 24,
          })
        }
        await kit.stop()
      }
      expect(crashes).toBeGreaterThan(8)
    })
  }

  test('is struck by its chaos plan by role and by number', async () => {
    const { kit, cluster, finished, events } = await startRun('chaos', 'downpour')
    await kit.until(() => finished.length >= 10)
    cluster.strike({ fault: 'kill', target: 'subnetwork', at: 0 })
    cluster.strike({ fault: 'kill', target: 'subnetwork-1', at: 0 })
    await kit.until(() => finished.length === STEPS)
    const dead = events.flatMap((event) => (event.type === 'death' ? [event.actor] : []))
    expect(dead.sort()).toEqual(['subnetwork-1', 'subnetwork-5'])
    await kit.until(cluster.stop())
    await kit.stop()
  })
})

describe('shards of subnetworks', () => {
  test('cover the vector, one subnetwork each, more where the parameters are', () => {
    const { ranges, owners } = shardsOfSubnetworks([10, 90, 20], 6)
    expect(owners).toEqual([0, 1, 1, 1, 1, 2])
    let at = 0
    for (const { offset, length } of ranges) {
      expect(offset).toBe(at)
      at += length
    }
    expect(at).toBe(120)
    expect(ranges.map(({ length }) => length)).toEqual([10, 22, 23, 22, 23, 20])
  })
})
