import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { openJournal } from '../../runtime/journal.ts'
import { simulatedDisk } from '../../runtime/simulation/disk.ts'

const text = (record: Uint8Array): string => new TextDecoder().decode(record)
const bytes = (record: string): Uint8Array => new TextEncoder().encode(record)

function replayed(disk: ReturnType<typeof simulatedDisk>, from = 0): string[] {
  const records: string[] = []
  openJournal(disk, { folder: 'j', from, replay: (record) => records.push(text(record)) })
  return records
}

test('records come back in order, over several lives of the owner', () => {
  const disk = simulatedDisk()
  for (const life of ['a', 'b', 'c']) {
    const journal = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
    journal.append(bytes(`${life}1`))
    journal.append(bytes(`${life}2`))
  }
  expect(replayed(disk)).toEqual(['a1', 'a2', 'b1', 'b2', 'c1', 'c2'])
})

test('a torn tail is skipped and what its successor wrote is kept', () => {
  fc.assert(
    fc.property(fc.nat(40), (torn) => {
      const disk = simulatedDisk()
      const first = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
      first.append(bytes('whole'))
      first.append(bytes('a record that is cut'))
      disk.truncate('j/journal-00000000', torn)
      const second = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
      second.append(bytes('later'))
      const expected =
        torn >= 41
          ? ['whole', 'a record that is cut', 'later']
          : torn >= 13
            ? ['whole', 'later']
            : ['later']
      expect(replayed(disk)).toEqual(expected)
    }),
  )
})

test('a flipped bit ends a file instead of being replayed', () => {
  const disk = simulatedDisk()
  const journal = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
  journal.append(bytes('first'))
  journal.append(bytes('second'))
  disk.flipBit('j/journal-00000000', 20)
  expect(replayed(disk)).toEqual(['first'])
})

test('zeros at the end of a file, which a machine that lost power leaves, end it', () => {
  const disk = simulatedDisk()
  const journal = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
  journal.append(bytes('whole'))
  disk.append('j/journal-00000000').append(new Uint8Array(64))
  expect(replayed(disk)).toEqual(['whole'])
})

test('after a snapshot the old files are gone and only newer records come back', () => {
  const disk = simulatedDisk()
  const journal = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
  journal.append(bytes('before'))
  let kept = -1
  journal.startAfresh((file) => {
    kept = file
  })
  expect(journal.bytes).toBe(0)
  journal.append(bytes('after'))
  expect(replayed(disk, kept)).toEqual(['after'])
  expect(disk.list('j')).toEqual(['journal-00000001'])
})

test('a snapshot that fails leaves the old journal readable', () => {
  const disk = simulatedDisk()
  const journal = openJournal(disk, { folder: 'j', from: 0, replay: () => {} })
  journal.append(bytes('before'))
  expect(() =>
    journal.startAfresh(() => {
      throw new Error('disk full')
    }),
  ).toThrow('disk full')
  journal.append(bytes('after'))
  expect(replayed(disk)).toEqual(['before', 'after'])
})
