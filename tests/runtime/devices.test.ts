// Which device a worker process gets: the verdict alone, then a pool under virtual time whose processes
// are systems in memory.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { plain } from '../../protocol/schema.ts'
import { next } from '../../runtime/actor.ts'
import type { Exit, ProcessOptions } from '../../runtime/environment.ts'
import { createSystem } from '../../runtime/system.ts'
import {
  type Assignment,
  type PoolMessage,
  WorkerMessage,
} from '../../runtime/worker/assignment.ts'
import {
  type DeviceDecision,
  type DeviceFault,
  type DeviceSituation,
  decideDevice,
  EXIT_DEVICE_FAULT,
  isDeviceFault,
  NoDeviceError,
} from '../../runtime/worker/devices.ts'
import { createPool, type PoolEvent, type WorkerOptions } from '../../runtime/worker/pool.ts'
import { createWorld } from '../../runtime/simulation/world.ts'

const limits = { deviceFaultsMax: 2, deviceFaultWindowMs: 1_000 }
const NOW = 10_000

function situation(changes: Partial<DeviceSituation> = {}): DeviceSituation {
  return {
    choices: ['gpu:0', 'gpu:1', 'cpu'],
    exclusive: ['gpu:0', 'gpu:1'],
    policy: 'next',
    owned: new Set(),
    faults: [],
    now: NOW,
    limits,
    ...changes,
  }
}

const faults = (...list: [device: string, msAgo: number][]): DeviceFault[] =>
  list.map(([device, msAgo]) => ({ device, at: NOW - msAgo }))

describe('decideDevice', () => {
  const cases: [string, Partial<DeviceSituation>, DeviceDecision | undefined][] = [
    ['the first choice', {}, { device: 'gpu:0', reason: 'first' }],
    [
      'the first that no other owns',
      { owned: new Set(['gpu:0']) },
      { device: 'gpu:1', reason: 'first' },
    ],
    [
      'a shared one whoever has it',
      { owned: new Set(['gpu:0', 'gpu:1', 'cpu']) },
      { device: 'cpu', reason: 'first' },
    ],
    [
      'nothing where all is owned',
      { choices: ['gpu:0', 'gpu:1'], owned: new Set(['gpu:0', 'gpu:1']) },
      undefined,
    ],
    [
      "'same' stays, whatever happened",
      { policy: 'same', current: 'gpu:0', faults: faults(['gpu:0', 1], ['gpu:0', 2]) },
      { device: 'gpu:0', reason: 'kept' },
    ],
    [
      'one fault of two is forgiven',
      { current: 'gpu:0', faults: faults(['gpu:0', 1]) },
      { device: 'gpu:0', reason: 'kept' },
    ],
    [
      'the second moves on',
      { current: 'gpu:0', faults: faults(['gpu:0', 500], ['gpu:0', 1]) },
      { device: 'gpu:1', reason: 'moved' },
    ],
    [
      'faults outside the window are forgotten',
      { current: 'gpu:0', faults: faults(['gpu:0', 1_000], ['gpu:0', 1]) },
      { device: 'gpu:0', reason: 'kept' },
    ],
    [
      'past the device of another',
      {
        current: 'gpu:0',
        owned: new Set(['gpu:1']),
        faults: faults(['gpu:0', 500], ['gpu:0', 1]),
      },
      { device: 'cpu', reason: 'moved' },
    ],
    [
      'past a device that failed another',
      {
        current: 'gpu:0',
        faults: faults(['gpu:1', 600], ['gpu:1', 500], ['gpu:0', 500], ['gpu:0', 1]),
      },
      { device: 'cpu', reason: 'moved' },
    ],
    [
      'back to a preferred one that has rested',
      { current: 'cpu', faults: faults(['gpu:0', 1_500], ['gpu:0', 1_000]) },
      { device: 'gpu:0', reason: 'returned' },
    ],
    [
      'where none has rested, the one whose last fault is longest ago',
      {
        choices: ['gpu:0', 'cpu'],
        current: 'cpu',
        faults: faults(['gpu:0', 900], ['gpu:0', 800], ['cpu', 700], ['cpu', 600]),
      },
      { device: 'gpu:0', reason: 'none-rested' },
    ],
  ]
  test.each(cases)('%s', (_, changes, decision) => {
    expect(decideDevice(situation(changes))).toEqual(decision as DeviceDecision)
  })

  test('never gives away what another owns, nor a tired device where a rested one is free', () => {
    const name = fc.constantFrom('a', 'b', 'c', 'd')
    const arbitrary = fc.record({
      choices: fc.uniqueArray(name, { minLength: 1 }),
      exclusive: fc.uniqueArray(name),
      policy: fc.constantFrom('same' as const, 'next' as const),
      owned: fc.uniqueArray(name).map((names) => new Set(names)),
      faults: fc.array(fc.record({ device: name, at: fc.integer({ min: 7_000, max: NOW }) })),
      current: fc.option(name, { nil: undefined }),
    })
    fc.assert(
      fc.property(arbitrary, ({ current, ...given }) => {
        // Its own device is among its choices, and nobody else's.
        fc.pre(current === undefined || given.choices.includes(current))
        fc.pre(!(current && given.exclusive.includes(current) && given.owned.has(current)))
        const whole = situation({ ...given, ...(current !== undefined && { current }) })
        const decision = decideDevice(whole)
        const isFree = (device: string) =>
          !(whole.exclusive?.includes(device) && whole.owned.has(device))
        const free = whole.choices.filter(isFree)
        if (!decision) return expect(free).toEqual([])
        expect(whole.choices).toContain(decision.device)
        expect(isFree(decision.device)).toBe(true)
        if (whole.policy === 'same' && current) expect(decision.device).toBe(current)
        const isTired = (device: string) =>
          whole.faults.filter((fault) => fault.device === device && NOW - fault.at < 1_000)
            .length >= 2
        const isMoving = whole.policy === 'next' || current === undefined
        if (isMoving && free.some((device) => !isTired(device))) {
          expect(isTired(decision.device)).toBe(false)
        }
        expect(decision.reason === 'kept').toBe(
          decision.device === current && decision.reason !== 'none-rested',
        )
      }),
    )
  })
})

test('a death is a device fault if the process said so, by its exit, or if it crashed on a device of its own', () => {
  const death = { code: 1, processSignal: null, isSaid: false, isExclusive: true }
  expect(isDeviceFault(death)).toBe(false)
  expect(isDeviceFault({ ...death, isSaid: true })).toBe(true)
  expect(isDeviceFault({ ...death, code: EXIT_DEVICE_FAULT, isExclusive: false })).toBe(true)
  const crashed = { ...death, code: null, processSignal: 'SIGSEGV' }
  expect(isDeviceFault(crashed)).toBe(true)
  expect(isDeviceFault({ ...crashed, isExclusive: false })).toBe(false)
  expect(isDeviceFault({ ...crashed, processSignal: 'SIGKILL' })).toBe(false)
})

/** A process in memory: it joins, says ready, and dies as it is told. */
interface Fake {
  readonly assignment: Assignment
  /** Last words, then the exit. */
  fail(cause: string, deviceFault: boolean, code?: number): void
  exit(exit: Exit): void
  readonly signals: string[]
}

function open(poolLimits = {}) {
  const world = createWorld()
  const { clock } = world
  const processes: Fake[] = []
  const spawn = ({ argument, onExit }: ProcessOptions) => {
    const assignment = argument as Assignment
    const { member, incarnation, control, token } = assignment
    const environment = world.environment(member, incarnation)
    const system = createSystem({ environment, member, incarnation, token })
    let isOver = false
    const exit = (how: Exit) => {
      if (isOver) return
      isOver = true
      system.stop()
      onExit(how)
    }
    const pool = system.ref<PoolMessage>(assignment.pool)
    const start = async () => {
      await system.listen()
      await system.join(control)
      const worker = system.spawn(
        {
          kind: 'worker',
          protocol: WorkerMessage,
          config: plain as never,
          start: () => null,
          receive: (state: null) => {
            exit({ code: 0, processSignal: null })
            return next(state)
          },
        },
        null,
        { name: 'worker' },
      )
      pool.tell({ type: 'ready', incarnation, worker })
    }
    void start()
    const signals: string[] = []
    processes.push({
      assignment,
      signals,
      exit,
      fail(cause, deviceFault, code = deviceFault ? EXIT_DEVICE_FAULT : 1) {
        pool.tell({ type: 'failing', member, incarnation, cause, deviceFault })
        if (code >= 0) clock.after(50, () => exit({ code, processSignal: null }))
      },
    })
    return {
      id: processes.length,
      kill(processSignal: string) {
        signals.push(processSignal)
        exit({ code: null, processSignal })
      },
    }
  }
  const environment = {
    ...world.environment('control'),
    processes: { spawn, self: 'control', isAlive: () => true },
  }
  const system = createSystem({ environment, member: 'control', token: 'secret' })
  const pool = createPool({ system, module: 'memory', limits: poolLimits })
  const events: PoolEvent[] = []
  return {
    clock,
    pool,
    processes,
    events,
    async start(name: string, devices: NonNullable<WorkerOptions['devices']>) {
      const worker = pool.start({
        name,
        devices,
        actors: (incarnation, device) => [
          { kind: 'x', name: 'x', config: { incarnation, device } },
        ],
        onEvent: (event) => void events.push(event),
      })
      await clock.advance(200)
      return worker
    },
  }
}

const gpuThenCpu = { choices: ['gpu:0', 'cpu'], exclusive: ['gpu:0'], policy: 'next' } as const

describe('a pool with devices', () => {
  test('tells each process its device, moves on after a fault, and returns after a while', async () => {
    const { clock, processes, events, start } = open({ deviceFaultWindowMs: 60_000 })
    const worker = await start('w', gpuThenCpu)
    expect(worker).toMatchObject({ state: 'ready', device: 'gpu:0' })
    expect(processes[0]?.assignment).toMatchObject({
      device: 'gpu:0',
      actors: [{ config: { incarnation: 1, device: 'gpu:0' } }],
    })
    processes[0]?.fail('DeviceError: gpu:0 is lost', true)
    await clock.advance(300)
    expect(worker).toMatchObject({ state: 'ready', device: 'cpu', incarnation: 2 })
    expect(events).toMatchObject([
      { type: 'started', device: 'gpu:0' },
      { type: 'ready' },
      { type: 'exited', device: 'gpu:0', isDeviceFault: true, cause: 'DeviceError: gpu:0 is lost' },
      { type: 'restarting', incarnation: 2, device: 'cpu', deviceReason: 'moved' },
      { type: 'started', device: 'cpu' },
      { type: 'ready' },
    ])
    expect(processes[1]?.assignment.actors[0]?.config).toEqual({ incarnation: 2, device: 'cpu' })
    // Too early: the plain death of the next life does not bring it back.
    processes[1]?.exit({ code: null, processSignal: 'SIGKILL' })
    await clock.advance(300)
    expect(events.at(-2)).toMatchObject({ type: 'started', device: 'cpu' })
    await clock.advance(60_000)
    processes[2]?.exit({ code: null, processSignal: 'SIGKILL' })
    await clock.advance(300)
    expect(events.findLast(({ type }) => type === 'exited')).toMatchObject({
      device: 'cpu',
      isDeviceFault: false,
    })
    expect(events.findLast(({ type }) => type === 'restarting')).toMatchObject({
      device: 'gpu:0',
      deviceReason: 'returned',
    })
    expect(worker.device).toBe('gpu:0')
  })

  test("with 'same' starts again where it was; the exit code speaks where last words are lost", async () => {
    const { clock, processes, events, start } = open()
    const worker = await start('w', { choices: ['gpu:0', 'cpu'], exclusive: ['gpu:0'] })
    processes[0]?.exit({ code: EXIT_DEVICE_FAULT, processSignal: null })
    await clock.advance(300)
    expect(events.slice(2, 4)).toMatchObject([
      { type: 'exited', isDeviceFault: true },
      { type: 'restarting', device: 'gpu:0', deviceReason: 'kept' },
    ])
    expect(worker).toMatchObject({ state: 'ready', device: 'gpu:0' })
  })

  test('never gives two processes one device, and takes it back when its owner ends', async () => {
    const { clock, processes, pool, start } = open()
    const [first, second] = [await start('w0', gpuThenCpu), await start('w1', gpuThenCpu)]
    expect([first.device, second.device]).toEqual(['gpu:0', 'cpu'])
    const only = { choices: ['gpu:0'], exclusive: ['gpu:0'] }
    expect(start('w2', only)).rejects.toThrow(NoDeviceError)
    expect([...pool.workers.keys()]).toEqual(['w0', 'w1'])
    // Owned also between two lives.
    processes[0]?.exit({ code: 1, processSignal: null })
    processes[1]?.exit({ code: 1, processSignal: null })
    await clock.advance(300)
    expect([first.device, second.device]).toEqual(['gpu:0', 'cpu'])
    const stopped = first.stop()
    await clock.advance(10_000)
    await stopped
    expect((await start('w3', only)).device).toBe('gpu:0')
  })

  test('kills a process that said its last words and does not end: its driver holds it', async () => {
    const { clock, processes, events, start } = open({ failingMsMax: 2_000 })
    await start('w', gpuThenCpu)
    processes[0]?.fail('DeadlineError: no step', true, -1)
    await clock.advance(1_900)
    expect(processes[0]?.signals).toEqual([])
    await clock.advance(500)
    expect(processes[0]?.signals).toEqual(['SIGKILL'])
    expect(events[2]).toMatchObject({
      type: 'exited',
      cause: 'DeadlineError: no step',
      isDeviceFault: true,
    })
  })

  test('counts a crash of the process against a device of its own, not against the CPU', async () => {
    const { clock, processes, events, start } = open()
    await start('w', gpuThenCpu)
    processes[0]?.exit({ code: null, processSignal: 'SIGSEGV' })
    await clock.advance(300)
    processes[1]?.exit({ code: null, processSignal: 'SIGSEGV' })
    await clock.advance(300)
    const exits = events.filter(({ type }) => type === 'exited')
    expect(exits).toMatchObject([
      { device: 'gpu:0', isDeviceFault: true },
      { device: 'cpu', isDeviceFault: false },
    ])
  })

  test('without devices says nothing of them', async () => {
    const { clock, pool, processes, events } = open()
    const onEvent = (event: PoolEvent) => void events.push(event)
    const worker = pool.start({ name: 'w', actors: () => [], onEvent })
    await clock.advance(200)
    processes[0]?.exit({ code: 1, processSignal: null })
    await clock.advance(300)
    expect(worker).toMatchObject({ state: 'ready', device: undefined })
    for (const event of events) expect(event).not.toHaveProperty('device')
    expect(processes[0]?.assignment).not.toHaveProperty('device')
  })
})
