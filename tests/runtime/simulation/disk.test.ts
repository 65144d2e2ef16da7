// One suite for the disk in memory and the real one, and what only the former can do.
import { describe, expect, test } from 'bun:test'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { randomFor } from '../../../protocol/random.ts'
import { realDisk } from '../../../runtime/disk.ts'
import type { Disk } from '../../../runtime/environment.ts'
import { simulatedDisk } from '../../../runtime/simulation/disk.ts'

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values)
const codeOf = (use: () => unknown): unknown => {
  try {
    use()
    return 'no error'
  } catch (error) {
    return error instanceof Error && 'code' in error ? error.code : error
  }
}

const disks: [string, () => { disk: Disk; folder: string }][] = [
  ['in memory', () => ({ disk: simulatedDisk(), folder: 'folder' })],
  ['of the machine', () => ({ disk: realDisk, folder: mkdtempSync(join(tmpdir(), 'disk-')) })],
]

describe.each(disks)('a disk %s', (_, open) => {
  test('keeps what is written and appended, and lists it', () => {
    const { disk, folder } = open()
    disk.makeFolder(`${folder}/inner`)
    disk.write(`${folder}/b`, bytes(1, 2))
    disk.write(`${folder}/b`, bytes(3))
    const appender = disk.append(`${folder}/inner/a`)
    for (let value = 0; value < 20; value++) appender.append(bytes(value))
    appender.sync()
    appender.close()
    disk.append(`${folder}/inner/a`).append(bytes(99))
    expect([...disk.read(`${folder}/b`)]).toEqual([3])
    expect([...disk.map(`${folder}/inner/a`)]).toEqual([...Array(20).keys(), 99])
    expect(disk.size(`${folder}/inner/a`)).toBe(21)
    expect([...disk.list(folder)].sort()).toEqual(['b', 'inner'])
    expect([`${folder}`, `${folder}/b`, `${folder}/c`].map(disk.exists)).toEqual([
      true,
      true,
      false,
    ])
  })

  test('hands out copies, and says what is not there', () => {
    const { disk, folder } = open()
    const written = bytes(1)
    disk.makeFolder(folder)
    disk.write(`${folder}/a`, written)
    written[0] = 2
    disk.read(`${folder}/a`)[0] = 3
    expect([...disk.read(`${folder}/a`)]).toEqual([1])
    disk.remove(folder)
    expect(codeOf(() => disk.read(`${folder}/a`))).toBe('ENOENT')
    expect(codeOf(() => disk.list(folder))).toBe('ENOENT')
    expect(codeOf(() => disk.remove(folder))).toBe('no error')
  })
})

describe('faults of a disk in memory', () => {
  test('it is full above its bytes, and fails by code below a path', () => {
    const disk = simulatedDisk({ bytesMax: 3 })
    disk.write('a', bytes(1, 2, 3))
    expect(codeOf(() => disk.write('b', bytes(1)))).toBe('ENOSPC')
    disk.write('a', bytes(4, 5, 6))
    disk.remove('a')
    disk.failWith('EIO', 'data/')
    disk.write('b', bytes(1))
    expect(codeOf(() => disk.append('data/x').append(bytes(1)))).toBe('EIO')
    disk.failWith(undefined, 'data/')
    disk.append('data/x').append(bytes(1))
  })

  test('when the power fails, of what was not synced a beginning is left', () => {
    const lengths = new Set<number>()
    for (let seed = 0; seed < 40; seed++) {
      const disk = simulatedDisk()
      const appender = disk.append('log')
      appender.append(bytes(1, 2))
      appender.sync()
      appender.append(bytes(3, 4, 5))
      disk.write('whole', bytes(6, 7))
      disk.loseUnsynced(randomFor(seed))
      const left = [...disk.read('log')]
      expect(left).toEqual([1, 2, 3, 4, 5].slice(0, left.length))
      expect([...disk.read('whole')]).toEqual([6, 7])
      lengths.add(left.length)
    }
    expect([...lengths].sort()).toEqual([2, 3, 4, 5])
  })
})
