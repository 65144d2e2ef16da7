// The contract of a disk (`Disk` in `runtime/environment.ts`), in a temporary folder.
import { deepEqual, equal, throws } from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Disk, DiskError, DiskFullError } from '../../runtime/environment.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { type Case, group, isOnLinux } from './cases.ts'

interface Fixture extends AsyncDisposable {
  readonly disk: Disk
  readonly folder: string
}

function open(): Fixture {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-disk-'))
  return {
    disk: realEnvironment({ seed: 'disk' }).disk,
    folder,
    async [Symbol.asyncDispose]() {
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

const everywhere: readonly Case<Fixture>[] = [
  [
    'reads what was written and appended; a write replaces the whole',
    async ({ disk, folder }) => {
      const path = join(folder, 'deep/er/file')
      disk.makeFolder(join(folder, 'deep/er'))
      disk.write(path, Uint8Array.of(1, 2, 3))
      disk.write(path, Uint8Array.of(4))
      const appender = disk.append(path)
      appender.append(Uint8Array.of(5, 6))
      appender.sync()
      appender.close()
      deepEqual([...disk.read(path)], [4, 5, 6])
      equal(disk.size(path), 3)
      deepEqual(disk.list(join(folder, 'deep/er')), ['file'])
      disk.remove(path)
      equal(disk.exists(path), false)
      disk.remove(path)
    },
  ],
  [
    'what was mapped stays as it was when the file is replaced; an empty file can be mapped',
    async ({ disk, folder }) => {
      const path = join(folder, 'file')
      disk.write(path, Uint8Array.of(1, 2, 3))
      const mapped = disk.map(path)
      disk.write(path, Uint8Array.of(4))
      deepEqual([...mapped], [1, 2, 3])
      disk.write(path, new Uint8Array(0))
      equal(disk.map(path).byteLength, 0)
    },
  ],
  [
    'hands out bytes that begin a buffer, so that any view of them is aligned',
    async ({ disk, folder }) => {
      const path = join(folder, 'file')
      disk.write(path, new Uint8Array(12))
      for (const bytes of [disk.read(path), disk.map(path)]) equal(bytes.byteOffset % 8, 0)
    },
  ],
  [
    'its errors name the path and what is wrong',
    async ({ disk, folder }) => {
      const path = join(folder, 'nothing/here')
      for (const attempt of [
        () => disk.read(path),
        () => disk.map(path),
        () => disk.write(path, new Uint8Array(1)),
        () => disk.append(path),
        () => disk.list(path),
      ]) {
        throws(attempt, (error) => {
          return error instanceof DiskError && error.message.startsWith(`${path}: no such file`)
        })
      }
      throws(() => disk.write(folder, new Uint8Array(1)), /is a folder: name a file/)
    },
  ],
]

const onLinux: readonly Case<Fixture>[] = [
  [
    'a full disk is an error of its own, and leaves no draft',
    async ({ disk, folder }) => {
      throws(() => disk.write('/dev/full', new Uint8Array(9)), DiskFullError)
      disk.write('/dev/null', new Uint8Array(9))
      deepEqual(disk.list(folder), [])
    },
  ],
]

export const disks = group('a disk', open, isOnLinux ? [...everywhere, ...onLinux] : everywhere)
