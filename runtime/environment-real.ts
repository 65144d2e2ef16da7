// The real world: the only file that touches timers, processes and threads.
import { spawn } from 'node:child_process'
import process from 'node:process'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { randomFor } from '../protocol/random.ts'
import { realDisk } from './disk.ts'
import { commandFor, findEngine } from './engine.ts'
import type { Clock, ComputeThreads, Environment, Process, ProcessTable } from './environment.ts'
import { identityOf, isAlive } from './process-identity.ts'
import { listenOnBun } from './transport/bun.ts'
import { type Transport, TransportError } from './transport/connection.ts'
import { deno } from './transport/deno-api.ts'
import { dialOnDeno } from './transport/deno-dial.ts'
import { listenOnDeno } from './transport/deno.ts'
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
  connect(url, events) {
    const plain = URL.parse(url)
    return deno && plain?.protocol === 'ws:'
      ? dialOnDeno(deno, realClock, plain, events)
      : connectWebSocket(realClock, url, events)
  },
  async listen(options) {
    if (deno) return listenOnDeno(deno, realClock, options)
    if (typeof Bun !== 'undefined') return listenOnBun(options)
    throw new TransportError('listening needs Bun or Deno: run this process with one of them')
  },
}

// Bun's allocator gives freed pages back within 10 ms, and the next step asks for them again: keeping
// them for two seconds made training 9 % faster. (mimalloc's own variable; the user's setting wins.)
const ALLOCATOR = { MIMALLOC_PURGE_DELAY: '2000' }

const realProcesses: ProcessTable = {
  spawn({ module, argument, engine, onExit, onOutput }) {
    const script = module.startsWith('file:') ? fileURLToPath(module) : module
    const [program, ...options] = commandFor(engine, script)
    // Standard output belongs to the command's own report: workers write to standard error.
    const env = { ...ALLOCATOR, ...process.env }
    const out = onOutput ? 'pipe' : 2
    const child = spawn(program, options, { stdio: ['pipe', out, out], env })
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
    return {
      id: child.pid ?? -1,
      kill(processSignal) {
        if (!isOver && child.pid !== undefined) sendSignal(child.pid, processSignal)
      },
    }
  },
  checkEngine: (engine) => void findEngine(engine),
  // Only when asked for: on Deno it takes --allow-all, and who only sends messages needs less.
  get self() {
    return identityOf(process.pid) ?? `${process.pid}`
  },
  isAlive,
  usage: () => ({ processId: process.pid, memoryBytes: process.memoryUsage.rss() }),
}

// Not `child.kill`: on Deno that sends one signal and then no other, so that SIGSTOP would be the last.
function sendSignal(id: number, processSignal: Parameters<Process['kill']>[0]): void {
  try {
    process.kill(id, processSignal)
  } catch {
    // It is gone, and its exit is on the way.
  }
}

const realCompute: ComputeThreads = {
  start(module) {
    const url = module.startsWith('file:') ? module : pathToFileURL(module).href
    const worker = new Worker(url, { type: 'module' })
    return computeThread(worker, (error) => {
      // Outside of any promise: the process ends by an uncaught error.
      queueMicrotask(() => {
        throw error
      })
    })
  },
}
