// A disk in memory for tests: the same contract as the real one, with a torn write on request.
import { type Disk, DiskError, DiskFullError } from '../runtime/environment.ts'

export interface MemoryDisk extends Disk {
  readonly files: Map<string, Uint8Array>
  truncate(path: string, bytes: number): void
  /** Every later write fails with this code, e.g. ENOSPC. */
  failWith(code: string | undefined): void
}

export function memoryDisk(): MemoryDisk {
  const files = new Map<string, Uint8Array>()
  let failure: string | undefined
  const mayWrite = (path: string): void => {
    if (failure) throw new (failure === 'ENOSPC' ? DiskFullError : DiskError)(path, failure)
  }
  const read = (path: string): Uint8Array => {
    const found = files.get(path)
    if (!found) throw new DiskError(path, 'ENOENT')
    return found
  }
  return {
    files,
    read,
    map: read,
    write(path, bytes) {
      mayWrite(path)
      files.set(path, bytes.slice())
    },
    append: (path) => ({
      append(bytes) {
        mayWrite(path)
        const before = files.get(path) ?? new Uint8Array()
        const after = new Uint8Array(before.length + bytes.length)
        after.set(before)
        after.set(bytes, before.length)
        files.set(path, after)
      },
      sync: () => {},
      close: () => {},
    }),
    list(folder) {
      const prefix = `${folder}/`
      const inside = [...files.keys()].filter((path) => path.startsWith(prefix))
      return inside.map((path) => path.slice(prefix.length)).sort()
    },
    exists: (path) => files.has(path),
    makeFolder: () => {},
    remove: (path) => void files.delete(path),
    truncate: (path, bytes) => void files.set(path, read(path).slice(0, bytes)),
    failWith(code) {
      failure = code
    },
  }
}
