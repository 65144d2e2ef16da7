// The outside world as arguments: clock, chance, transport, disk, processes, compute threads. The same
// actors run on the real one (`environment-real.ts`) and, under virtual time, on a simulated one.
import type { Random } from '../protocol/random.ts'
import type { Engine } from './engine.ts'
import type { Transport } from './transport/connection.ts'

export interface Environment {
  readonly clock: Clock
  readonly random: Random
  readonly transport: Transport
  readonly disk: Disk
  readonly processes: ProcessTable
  readonly compute: ComputeThreads
}

export interface Clock {
  /** Milliseconds since an arbitrary start; never goes back. */
  now(): number
  /** Milliseconds since 1970, for people. */
  wallTime(): number
  /** Runs once after `ms`; the returned function cancels it. */
  after(ms: number, run: () => void): () => void
  /** Runs when pending input and output have had their turn; `after(0)` where absent. */
  soon?(run: () => void): void
}

/** Synchronous, because a shard acknowledges only what lies on disk. Throws `DiskError`. */
export interface Disk {
  read(path: string): Uint8Array
  /** A read-only view that need not be held in memory; a plain read where the platform cannot map. */
  map(path: string): Uint8Array
  /**
   * A new file of so many bytes, mapped: what is written here is read by all who `map` it. Throws
   * `DiskFullError` now rather than later. Absent where the platform cannot.
   */
  share?(path: string, byteLength: number): Uint8Array
  /** Replaces the file as a whole or leaves the old one: never half of either. */
  write(path: string, bytes: Uint8Array): void
  /** The same, and only its owner may ever read it. */
  writePrivate(path: string, bytes: Uint8Array): void
  append(path: string): Appender
  list(folder: string): readonly string[]
  exists(path: string): boolean
  /** Of a file, in bytes. */
  size(path: string): number
  makeFolder(path: string): void
  remove(path: string): void
}

/** Appended bytes survive the death of the process; after `sync` they survive the machine's. */
export interface Appender {
  append(bytes: Uint8Array): void
  sync(): void
  close(): void
}

export class DiskError extends Error {
  override readonly name: string = 'DiskError'
  readonly path: string
  readonly code: string
  constructor(path: string, code: string, options?: ErrorOptions) {
    super(`${path}: ${explain(code)}`, options)
    this.path = path
    this.code = code
  }
}

/** Nothing that is tried again will do better. */
export class DiskFullError extends DiskError {
  override readonly name: string = 'DiskFullError'
}

export interface ProcessTable {
  /** Throws `EngineError` where there is no such program. */
  spawn(options: ProcessOptions): Process
  /** Throws `EngineError` where `spawn` would; absent where every engine is as good. */
  checkEngine?(engine: Engine): void
  /** Names this process; ids alone are used again. */
  readonly self: string
  isAlive(identity: string): boolean
  /** Of this process; absent where there is none. */
  usage?(): { readonly processId: number; readonly memoryBytes: number }
}

export interface ProcessOptions {
  /** Module that the new process runs. */
  readonly module: string
  /** What runs it; default: what runs this process. */
  readonly engine?: Engine
  /** One JSON value, handed over outside the command line (it may hold a token). */
  readonly argument: unknown
  readonly onExit: (exit: Exit) => void
  /** What it writes to standard output and error; absent: both go to our standard error. */
  readonly onOutput?: (text: string) => void
}

export interface Exit {
  readonly code: number | null
  readonly processSignal: string | null
}

export interface Process {
  readonly id: number
  kill(processSignal: 'SIGKILL' | 'SIGTERM' | 'SIGSTOP' | 'SIGCONT'): void
}

/** A thread that may block for long: it owns the ONNX Runtime sessions of its process. */
export interface ComputeThreads {
  /** `module` calls `serveCompute(methods)`. A fault in it ends the process. */
  start(module: string): ComputeThread
}

export interface ComputeThread {
  /** Structured clone, except that SharedArrayBuffers are shared. Rejects with what the method threw. */
  call(method: string, argument: unknown): Promise<unknown>
  /**
   * Takes no more calls; ends the thread when the last one is answered, never in the middle: a thread
   * that is terminated inside ONNX Runtime takes the process with it.
   */
  close(): void
}

const explanations: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or folder: check the path',
  ENOSPC: 'the disk is full: free some space',
  EACCES: 'permission denied: choose another path or change its permissions',
  EROFS: 'a read-only file system: choose another path',
  EISDIR: 'is a folder: name a file',
  ENOTDIR: 'a file where a folder is needed: name the folder',
  NotCapable: 'Deno refuses: run it with --allow-read --allow-write',
  EMFILE: 'too many open files: raise the limit (ulimit -n)',
}

function explain(code: string): string {
  return explanations[code] ?? `disk error ${code}`
}
