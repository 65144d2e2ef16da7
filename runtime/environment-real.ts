// The real world: the only file that touches timers, processes and threads.
import { spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath } from 'node:url'
import { randomFor } from '../protocol/random.ts'
import { realDisk } from './disk.ts'
import type { Clock, ComputeThreads, Environment, ProcessTable } from './environment.ts'
import { identityOf, isAlive } from './process-identity.ts'
import { listenOnBun } from './transport/bun.ts'
import { type Transport, TransportError } from './transport/connection.ts'
import { connectWebSocket } from './transport/websocket.ts'
import { computeThread } from './worker/compute.ts'

export interface RealEnvironmentOptions {
  /** Everything random in the process follows from it. */
  readonly seed: string | number
}

export function realEnvironment({ seed }: RealEnvironmentOptions): Environment {
  return {
    clock: realClock,
    random: randomFor(seed),
    transport: realTransport,
    disk: realDisk,
    processes: realProcesses,
    compute: realCompute,
  }
}

// Timers keep the process alive, as everywhere: what is waited for is worth waiting for. A stopped system
// has none.
const realClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms)
    return () => clearTimeout(timer)
  },
  soon: (run) => void setImmediate(run),
}

const realTransport: Transport = {
  connect: (url, events) => connectWebSocket(realClock, url, events),
  async listen(options) {
    if (typeof Bun === 'undefined') throw new TransportError('listening needs Bun')
    return listenOnBun(options)
  },
}

// Bun's allocator gives freed pages back within 10 ms, and the next step asks for them again: keeping
// them for two seconds made training 9 % faster. (mimalloc's own variable; the user's setting wins.)
const ALLOCATOR = { MIMALLOC_PURGE_DELAY: '2000' }

const realProcesses: ProcessTable = {
  spawn({ module, argument, onExit, onOutput }) {
    const script = module.startsWith('file:') ? fileURLToPath(module) : module
    const runner = typeof Bun === 'undefined' ? ['run', '-A'] : []
    // Standard output belongs to the command's own report: workers write to standard error.
    const env = { ...ALLOCATOR, ...process.env }
    const out = onOutput ? 'pipe' : 2
    const child = spawn(process.execPath, [...runner, script], { stdio: ['pipe', out, out], env })
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => onOutput?.(text))
    }
    let isOver = false
    const over = (code: number | null, processSignal: string | null): void => {
      if (isOver) return
      isOver = true
      onExit({ code, processSignal })
    }
    // 'close' follows 'exit' when all that it wrote has been read.
    child.on(onOutput ? 'close' : 'exit', over)
    child.on('error', () => over(127, null))
    // The pipe stays open: its end tells the child that its parent is gone. A child that has died first
    // is reported by its exit.
    child.stdin?.on('error', () => {})
    child.stdin?.write(`${JSON.stringify(argument)}\n`)
    return { id: child.pid ?? -1, kill: (processSignal) => void child.kill(processSignal) }
  },
  self: identityOf(process.pid) ?? `${process.pid}`,
  isAlive,
}

const realCompute: ComputeThreads = {
  start(module) {
    const worker = new Worker(module, { type: 'module' })
    return computeThread(worker, (error) => {
      // Outside of any promise: the process ends by an uncaught error.
      queueMicrotask(() => {
        throw error
      })
    })
  },
}
