// The real disk: `node:fs`, synchronous.
import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { type Appender, type Disk, DiskError, DiskFullError } from './environment.ts'

export const realDisk: Disk = {
  read: (path) => attempt(path, () => plainBytes(readFileSync(path))),
  map(path) {
    // An empty file cannot be mapped, and Deno has no mmap.
    try {
      if (typeof Bun !== 'undefined') return Bun.mmap(path)
    } catch {
      return realDisk.read(path)
    }
    return realDisk.read(path)
  },
  ...(typeof Bun !== 'undefined' && {
    share: (path: string, byteLength: number) =>
      attempt(path, () => {
        // Written, so that every page is there: one that is missing would be a signal, not an error.
        writeFileSync(path, new Uint8Array(byteLength))
        return Bun.mmap(path, { shared: true })
      }),
  }),
  write: (path, bytes) =>
    attempt(path, () => (isReplaceable(path) ? replace : writeFileSync)(path, bytes)),
  writePrivate: (path, bytes) =>
    attempt(path, () => {
      // One that an earlier process left may be anybody's to read.
      rmSync(`${path}.draft`, { force: true })
      replace(path, bytes, 0o600)
    }),
  append: (path) => attempt(path, () => appenderOf(path, openSync(path, 'a'))),
  list: (folder) => attempt(folder, () => readdirSync(folder)),
  size: (path) => attempt(path, () => statSync(path).size),
  exists: (path) => existsSync(path),
  makeFolder: (path) => attempt(path, () => void mkdirSync(path, { recursive: true })),
  remove: (path) => attempt(path, () => rmSync(path, { recursive: true, force: true })),
}

/** A device or a pipe is written to, never replaced; of a folder, opening it tells. */
function isReplaceable(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined || found.isFile()
}

function replace(path: string, bytes: Uint8Array, mode = 0o666): void {
  const draft = `${path}.draft`
  try {
    const file = openSync(draft, 'w', mode)
    try {
      writeFileSync(file, bytes)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(draft, path)
  } catch (error) {
    // On a full disk above all: half a file helps nobody.
    rmSync(draft, { force: true })
    throw error
  }
}

function appenderOf(path: string, file: number): Appender {
  return {
    append: (bytes) => attempt(path, () => appendFileSync(file, bytes)),
    sync: () => attempt(path, () => fsyncSync(file)),
    close: () => attempt(path, () => closeSync(file)),
  }
}

function plainBytes(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}

function attempt<T>(path: string, run: () => T): T {
  try {
    return run()
  } catch (cause) {
    const isSystem = cause instanceof Error && 'code' in cause
    const code = isSystem ? String(cause.code) : cause instanceof Error ? cause.name : 'unknown'
    throw new (code === 'ENOSPC' ? DiskFullError : DiskError)(path, code, { cause })
  }
}
