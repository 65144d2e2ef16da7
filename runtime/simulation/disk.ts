// A disk in memory: the contract of the real one, and its faults. It outlives the processes that use it.
import type { Random } from '../../protocol/random.ts'
import { type Appender, type Disk, DiskError, DiskFullError } from '../environment.ts'

export interface SimulatedDiskOptions {
  /** Above it writing throws `DiskFullError`. Default: no end. */
  readonly bytesMax?: number
}

export interface SimulatedDisk extends Disk {
  /** A copy of what lies on it: path -> content. */
  readonly files: ReadonlyMap<string, Uint8Array>
  /**
   * Writing below `path` (default: anywhere) fails with this code from now on, e.g. ENOSPC or EIO;
   * `undefined` ends that.
   */
  failWith(code: string | undefined, path?: string): void
  /** Cuts the end off a file, as a write that was under way leaves it. */
  truncate(path: string, bytes: number): void
  /** The lowest bit of one byte is read as its opposite from now on. */
  flipBit(path: string, byte: number): void
  /**
   * The power fails: of what was appended and not synced, each file keeps a beginning of a length drawn by
   * chance. What was written as a whole stays whole.
   */
  loseUnsynced(random: Random): void
}

interface File {
  /** Longer than the content: appending grows it by doubling. */
  bytes: Uint8Array
  length: number
  synced: number
}

export function simulatedDisk({
  bytesMax = Number.POSITIVE_INFINITY,
}: SimulatedDiskOptions = {}): SimulatedDisk {
  const files = new Map<string, File>()
  const folders = new Set<string>()
  const failures = new Map<string, string>()

  const below = (folder: string): string[] =>
    [...files.keys(), ...folders].filter((path) => path.startsWith(`${folder}/`))

  function find(path: string): File {
    const file = files.get(path)
    if (!file) throw new DiskError(path, 'ENOENT')
    return file
  }

  function mayWrite(path: string, bytes: number): void {
    for (const [prefix, code] of failures) {
      if (!path.startsWith(prefix)) continue
      throw new (code === 'ENOSPC' ? DiskFullError : DiskError)(path, code)
    }
    if (usedBytes(files) + bytes > bytesMax) throw new DiskFullError(path, 'ENOSPC')
  }

  function write(path: string, bytes: Uint8Array): void {
    mayWrite(path, bytes.length - (files.get(path)?.length ?? 0))
    files.set(path, { bytes: bytes.slice(), length: bytes.length, synced: bytes.length })
  }

  return {
    get files() {
      return new Map([...files].map(([path, file]) => [path, contentOf(file).slice()]))
    },
    read: (path) => contentOf(find(path)).slice(),
    map: (path) => contentOf(find(path)),
    write,
    writePrivate: write,
    append(path) {
      const file = files.get(path) ?? { bytes: new Uint8Array(), length: 0, synced: 0 }
      files.set(path, file)
      return appenderOf(file, (bytes) => mayWrite(path, bytes))
    },
    list(folder) {
      const inside = below(folder)
      if (inside.length === 0 && !folders.has(folder)) throw new DiskError(folder, 'ENOENT')
      const names = inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? '')
      return [...new Set(names)].sort()
    },
    size: (path) => find(path).length,
    exists: (path) => files.has(path) || folders.has(path) || below(path).length > 0,
    makeFolder: (path) => void folders.add(path),
    remove(path) {
      for (const each of [path, ...below(path)]) {
        files.delete(each)
        folders.delete(each)
      }
    },
    failWith(code, path = '') {
      if (code === undefined) failures.delete(path)
      else failures.set(path, code)
    },
    flipBit(path, byte) {
      contentOf(find(path))[byte]! ^= 1
    },
    truncate(path, bytes) {
      const file = find(path)
      files.set(path, { bytes: file.bytes.slice(0, bytes), length: bytes, synced: bytes })
    },
    loseUnsynced(random) {
      for (const [path, { bytes, length, synced }] of files) {
        const kept = synced + random.below(length - synced + 1)
        files.set(path, { bytes: bytes.slice(0, kept), length: kept, synced: kept })
      }
    },
  }
}

function appenderOf(file: File, mayWrite: (bytes: number) => void): Appender {
  return {
    append(bytes) {
      mayWrite(bytes.length)
      const length = file.length + bytes.length
      if (length > file.bytes.length) {
        const grown = new Uint8Array(Math.max(2 * file.bytes.length, length))
        grown.set(contentOf(file))
        file.bytes = grown
      }
      file.bytes.set(bytes, file.length)
      file.length = length
    },
    sync() {
      file.synced = file.length
    },
    close() {},
  }
}

const contentOf = ({ bytes, length }: File): Uint8Array => bytes.subarray(0, length)

function usedBytes(files: ReadonlyMap<string, File>): number {
  let bytes = 0
  for (const { length } of files.values()) bytes += length
  return bytes
}
