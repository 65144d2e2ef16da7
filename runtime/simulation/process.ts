// One simulated process: its environment (clock, network, disk) stops with SIGSTOP, goes on with SIGCONT
// and reaches nothing any more after its end. Code of the same tick still runs to its end.
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import {
  type Clock,
  type Disk,
  DiskError,
  type Environment,
  type Exit,
  type Process,
  type ProcessTable,
} from '../environment.ts'
import type { ConnectionEvents, Transport } from '../transport/connection.ts'
import type { NetworkPort, SimulatedNetwork } from './network.ts'
import type { VirtualClock } from './virtual-clock.ts'

export interface ProcessWorld {
  readonly clock: VirtualClock
  readonly network: SimulatedNetwork
  readonly seed: string | number
  diskOf(member: string): Disk
  /** Parts of the environment to replace, e.g. the compute threads. */
  adapt(member: string, incarnation: number): Partial<Environment>
}

export interface SimulatedProcess extends Process {
  readonly isGone: boolean
  readonly isStopped: boolean
  /** The outside world as this process has it, under its name on the network. Called once. */
  environment(as: { readonly member: string; readonly incarnation: number }): Environment
  /**
   * Who takes the uncaught errors of its timers and connections; without one they reach whoever advances
   * the clock.
   */
  onFault(handler: (error: unknown) => void): void
  /** Runs in this process; not while it is stopped, and not once it is gone. */
  after(ms: number, run: () => void): () => void
  /** The returned function ends the listening. */
  onExit(listener: (exit: Exit) => void): () => void
  exit(code: number): void
}

export function createProcess(
  world: ProcessWorld,
  id: number,
  tableOf: (process: SimulatedProcess) => ProcessTable,
): SimulatedProcess {
  const timers = new Set<() => void>()
  /** What came due while it was stopped. */
  let held: (() => void)[] = []
  let state: 'running' | 'stopped' | 'gone' = 'running'
  let pendingEnd: Exit | undefined
  let port: NetworkPort | undefined
  let faulted: ((error: unknown) => void) | undefined
  const listeners = new Set<(exit: Exit) => void>()

  function run(task: () => void): void {
    if (state === 'gone') return
    if (state === 'stopped' || held.length > 0) return void held.push(task)
    attempt(task)
  }

  function attempt(task: () => void): void {
    try {
      task()
    } catch (error) {
      if (!faulted) throw error
      faulted(error)
    }
  }

  function after(ms: number, task: () => void): () => void {
    if (state === 'gone') return () => {}
    let isCancelled = false
    const cancel = (): void => {
      isCancelled = true
      timers.delete(cancel)
      stopClock()
    }
    const stopClock = world.clock.after(ms, () => {
      timers.delete(cancel)
      run(() => {
        if (!isCancelled) task()
      })
    })
    timers.add(cancel)
    return cancel
  }

  function resume(): void {
    if (state !== 'stopped') return
    state = 'running'
    if (pendingEnd) return end(pendingEnd)
    world.clock.after(0, () => {
      if (state !== 'running') return
      const due = held
      held = []
      for (const task of due) run(task)
      if (state === 'running') port?.thaw()
    })
  }

  function end(exit: Exit): void {
    if (state === 'gone') return
    state = 'gone'
    held = []
    for (const cancel of timers) cancel()
    port?.close()
    for (const listener of [...listeners]) listener(exit)
  }

  const clock: Clock = { now: world.clock.now, wallTime: world.clock.wallTime, after }

  function transportOf({ transport }: NetworkPort): Transport {
    const guarded = (events: ConnectionEvents): ConnectionEvents => ({
      opened: () => run(() => events.opened()),
      received: (packet) => run(() => events.received(packet)),
      drained: () => run(() => events.drained()),
      closed: (reason) => run(() => events.closed(reason)),
    })
    return {
      listen: ({ accept, ...options }) =>
        transport.listen({ ...options, accept: (connection) => guarded(accept(connection)) }),
      connect: (url, events) => transport.connect(url, guarded(events)),
    }
  }

  const self: SimulatedProcess = {
    id,
    get isGone() {
      return state === 'gone'
    },
    get isStopped() {
      return state === 'stopped'
    },
    environment({ member, incarnation }) {
      assert(port === undefined, 'a process has one environment')
      port = world.network.attach(member)
      if (state === 'gone') port.close()
      return {
        clock,
        random: randomFor(world.seed, 'member', member, incarnation),
        transport: transportOf(port),
        disk: guardedDisk(world.diskOf(member), () => state === 'gone'),
        processes: tableOf(self),
        compute: { start: absentCompute },
        ...world.adapt(member, incarnation),
      }
    },
    onFault(handler) {
      faulted = handler
    },
    after,
    onExit(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    exit: (code) => end({ code, processSignal: null }),
    kill(processSignal) {
      const exit = { code: null, processSignal }
      if (processSignal === 'SIGKILL') return end(exit)
      if (processSignal === 'SIGCONT') return resume()
      if (state === 'gone') return
      // A stopped process ends when it goes on.
      if (processSignal === 'SIGTERM' && state === 'stopped') pendingEnd ??= exit
      else if (processSignal === 'SIGTERM') end(exit)
      else {
        state = 'stopped'
        port?.freeze()
      }
    },
  }
  return self
}

/** A process that is gone writes nothing. */
function guardedDisk(disk: Disk, isGone: () => boolean): Disk {
  const alive = <T>(path: string, use: () => T): T => {
    if (isGone()) throw new DiskError(path, 'EIO')
    return use()
  }
  return {
    read: (path) => alive(path, () => disk.read(path)),
    map: (path) => alive(path, () => disk.map(path)),
    write: (path, bytes) => alive(path, () => disk.write(path, bytes)),
    writePrivate: (path, bytes) => alive(path, () => disk.writePrivate(path, bytes)),
    append(path) {
      const appender = alive(path, () => disk.append(path))
      return {
        append: (bytes) => alive(path, () => appender.append(bytes)),
        sync: () => alive(path, () => appender.sync()),
        close: () => appender.close(),
      }
    },
    list: (folder) => alive(folder, () => disk.list(folder)),
    size: (path) => alive(path, () => disk.size(path)),
    exists: (path) => alive(path, () => disk.exists(path)),
    makeFolder: (path) => alive(path, () => disk.makeFolder(path)),
    remove: (path) => alive(path, () => disk.remove(path)),
  }
}

function absentCompute(): never {
  throw new Error('a simulated process has no compute threads: give the kit some by `environment`')
}
