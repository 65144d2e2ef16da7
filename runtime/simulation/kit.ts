// The test kit: several members in one process under virtual time, joined to a member called control, with
// probes to listen, faults to inject, and everything that happens kept for inspection.
import { assert } from '../../protocol/assert.ts'
import type { Limits } from '../../protocol/limits.ts'
import { type Random, randomFor } from '../../protocol/random.ts'
import type { Schema } from '../../protocol/schema.ts'
import type { AnyDefinition } from '../actor.ts'
import { describeError } from '../lives.ts'
import type { InspectionEvent } from '../inspect.ts'
import { createSystem, type System } from '../system.ts'
import { readAssignment, serveAssignment } from '../worker/serve.ts'
import { createFaults, type Faults, overriding } from './faults.ts'
import type { SimulatedNetwork } from './network.ts'
import { createProbe, ExpectationError, type Probe } from './probe.ts'
import type { SimulatedProcess } from './process.ts'
import type { SimulatedProcesses } from './processes.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { createWorld, type World, type WorldOptions } from './world.ts'

export interface TestKitOptions extends WorldOptions {
  /** Members that start at once, beside `control`. */
  readonly members?: readonly string[]
  /** Kinds that may be spawned on a member from another one. */
  readonly definitions?: readonly AnyDefinition[]
  readonly limits?: Partial<Limits>
  /** Of the last so many events, `events` keeps a record. Default 10,000. */
  readonly eventsMax?: number
  /** Record each envelope too. Default false. */
  readonly routed?: boolean
  /** The command that runs this again. */
  readonly replay?: string
}

export interface KitEvent {
  readonly atMs: number
  readonly member: string
  readonly incarnation: number
  readonly event: InspectionEvent
}

export interface MemberOptions {
  /** Default: one more than that of its former life, from 1. */
  readonly incarnation?: number
  readonly definitions?: readonly AnyDefinition[]
  readonly limits?: Partial<Limits>
}

export interface TestKit {
  readonly clock: VirtualClock
  readonly network: SimulatedNetwork
  readonly processes: SimulatedProcesses
  readonly faults: Faults
  /** Chance for the test itself; the runtime draws from other streams. */
  readonly random: Random
  /** What happened on all members, oldest first. */
  readonly events: readonly KitEvent[]
  /** Hears of them as they happen; the returned function ends the listening. */
  inspect(listener: (event: KitEvent) => void): () => void
  /** One line that runs this again. */
  readonly replay: string
  /** The member that the others join; its present life. */
  readonly control: System
  /** Names of those that run, also of those that still join. */
  readonly members: readonly string[]
  disk: World['disk']
  /** A running member, `control` among them; its actors are subject to the faults. */
  member(name: string): System
  /**
   * Starts a member, or the next life of one that has ended, and resolves when it has joined and the others
   * know of it, as far as they can be reached.
   */
  join(name: string, options?: MemberOptions): Promise<System>
  /** What the operating system would say: SIGKILL ends a member without a goodbye. */
  kill(name: string): void
  /** SIGSTOP: time passes, but this member does nothing. */
  freeze(name: string): void
  thaw(name: string): void
  /** The module to give a pool: its worker processes start in this world, with these kinds. */
  workerModule(definitions: readonly AnyDefinition[]): string
  probe<M>(protocol?: Schema<M>, options?: { member?: string; name?: string }): Probe<M>
  /** Everything that is due in the next `ms` happens. */
  advance(ms: number): Promise<void>
  /** What can happen without time passing happens. */
  settle(): Promise<void>
  /**
   * Advances until the promise has settled, and returns or throws its outcome; or until the condition is
   * true. Throws `ExpectationError` after `withinMs`, by default 60,000.
   */
  until<T>(awaited: Promise<T>, withinMs?: number): Promise<T>
  until(condition: () => boolean, withinMs?: number): Promise<void>
  /** Stops every member. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

interface Running {
  readonly system: System
  readonly process: SimulatedProcess
}

const CONTROL = 'control'
const UNTIL_MS = 60_000
const GOODBYE_MS = 1
/** Some of the others may be out of reach. */
const KNOWN_MS_MAX = 1_000

export async function createTestKit(options: TestKitOptions = {}): Promise<TestKit> {
  const { seed = 1, eventsMax = 10_000, routed = false } = options
  const world = createWorld({ ...options, seed })
  const { clock, network, processes } = world
  const { faults, wrap } = createFaults()
  const events: KitEvent[] = []
  const listeners = new Set<(event: KitEvent) => void>()
  const running = new Map<string, Running>()
  const incarnations = new Map<string, number>()
  let probes = 0
  let modules = 0

  function record(system: System, process: SimulatedProcess): System {
    const { member, incarnation } = system
    system.inspect(
      (event) => {
        if (process.isGone) return
        const heard = { atMs: clock.now(), member, incarnation, event }
        events.push(heard)
        if (events.length > eventsMax) events.shift()
        for (const listener of [...listeners]) listener(heard)
      },
      { routed },
    )
    const spawn: System['spawn'] = (definition, config, spawning) =>
      system.spawn(wrap(definition), config, spawning)
    // A member that has said goodbye ends its process, as a worker does.
    const stop = (): void => {
      system.stop()
      process.after(GOODBYE_MS, () => process.exit(0))
    }
    const faulty = overriding(system, { spawn, stop })
    running.set(member, { system: faulty, process })
    incarnations.set(member, incarnation)
    process.onExit(() => {
      if (running.get(member)?.process === process) running.delete(member)
    })
    return faulty
  }

  function begin(member: string, { incarnation, definitions, limits }: MemberOptions): System {
    assert(!running.has(member), `${member} is running: kill or stop it before its next life`)
    const life = incarnation ?? (incarnations.get(member) ?? 0) + 1
    const process = processes.begin()
    const system = createSystem({
      environment: process.environment({ member, incarnation: life }),
      member,
      incarnation: life,
      definitions: (definitions ?? options.definitions ?? []).map(wrap),
      limits: { ...options.limits, ...limits },
    })
    return record(system, process)
  }

  const isKnown = (name: string, incarnation: number): boolean =>
    [...running.values()].every(
      ({ system, process }) =>
        process.isStopped ||
        system
          .members()
          .some((entry) => entry.member === name && entry.incarnation === incarnation),
    )

  async function until(awaited: Promise<unknown> | (() => boolean), ms = UNTIL_MS) {
    if (typeof awaited === 'function') {
      if (await clock.advanceUntil(awaited, ms)) return undefined
      throw new ExpectationError(`it is not so within ${ms} ms: ${awaited}`)
    }
    let isSettled = false
    const settled = (): void => {
      isSettled = true
    }
    awaited.then(settled, settled)
    if (await clock.advanceUntil(() => isSettled, ms)) return await awaited
    throw new ExpectationError(`the promise has not settled within ${ms} ms`)
  }

  async function join(name: string, joining: MemberOptions = {}): Promise<System> {
    const system = begin(name, joining)
    await until(system.listen())
    if (name === CONTROL) return system
    await until(system.join(find(CONTROL).system.url ?? ''))
    await clock.advanceUntil(() => isKnown(name, system.incarnation), KNOWN_MS_MAX)
    return system
  }

  function find(name: string): Running {
    const found = running.get(name)
    const known = [...running.keys()].join(', ')
    assert(found !== undefined, `${name} is not running, only ${known}: start it with join`)
    return found
  }

  async function stop(): Promise<void> {
    for (const { system } of [...running.values()].reverse()) system.stop()
    await clock.advance(GOODBYE_MS)
  }

  for (const name of [CONTROL, ...(options.members ?? [])]) await join(name)

  return {
    clock,
    network,
    processes,
    faults,
    events,
    inspect(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    get members() {
      return [...running.keys()]
    },
    get control() {
      return find(CONTROL).system
    },
    random: randomFor(seed, 'test'),
    replay: options.replay ?? `seed ${seed}`,
    disk: world.disk,
    member: (name) => find(name).system,
    join,
    kill: (name) => find(name).process.kill('SIGKILL'),
    freeze: (name) => find(name).process.kill('SIGSTOP'),
    thaw: (name) => find(name).process.kill('SIGCONT'),
    workerModule(definitions) {
      const module = `simulated-worker-${++modules}`
      processes.install(module, (process, argument) => {
        const assignment = readAssignment(argument)
        const service = serveAssignment(assignment, {
          environment: process.environment(assignment),
          definitions: definitions.map(wrap),
          exit: (code) => process.exit(code),
        })
        process.onFault((error) => service.fail(describeError(error)))
        record(service.system, process)
      })
      return module
    },
    probe<M>(
      protocol?: Schema<M>,
      { member = CONTROL, name = `probe-${++probes}` }: { member?: string; name?: string } = {},
    ): Probe<M> {
      return createProbe(clock, find(member).system, { name, protocol })
    },
    advance: clock.advance,
    settle: () => clock.advance(0),
    until: until as TestKit['until'],
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
