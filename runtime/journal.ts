// An append-only journal in numbered files: what an actor must not forget before it acknowledges. Each
// life of the owner starts a file of its own, so a torn tail is never written over, only skipped.
import { crc32 } from 'node:zlib'
import type { Appender, Disk } from './environment.ts'

export interface Journal {
  append(record: Uint8Array): void
  /** Bytes in this journal's files since the last `startAfresh`. */
  readonly bytes: number
  /** Number of the file that the next record goes to: a snapshot keeps it. */
  readonly file: number
  /** After a snapshot: a new file, and the older ones are removed. */
  startAfresh(keepSnapshot: (file: number) => void): void
  close(): void
}

const HEADER_BYTES = 8

/**
 * Opens the journal of a folder and hands every whole record since file `from` to `replay`, in order.
 * A torn record at the end of a file (its writer was killed) was never acknowledged and is skipped.
 */
export function openJournal(
  disk: Disk,
  options: { folder: string; from: number; replay: (record: Uint8Array) => void },
): Journal {
  disk.makeFolder(options.folder)
  const files = journalFiles(disk, options.folder).filter((file) => file >= options.from)
  let bytes = 0
  for (const file of files) {
    bytes += replayFile(disk.read(pathOf(options.folder, file)), options.replay)
  }
  let file = Math.max(options.from, (files.at(-1) ?? -1) + 1)
  let appender: Appender | undefined
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  return {
    append(record) {
      appender ??= disk.append(pathOf(options.folder, file))
      view.setUint32(0, record.byteLength, true)
      view.setUint32(4, crc32(record), true)
      appender.append(header)
      appender.append(record)
      bytes += HEADER_BYTES + record.byteLength
    },
    get bytes() {
      return bytes
    },
    get file() {
      return file
    },
    startAfresh(keepSnapshot) {
      appender?.close()
      appender = undefined
      file += 1
      keepSnapshot(file)
      for (const old of journalFiles(disk, options.folder)) {
        if (old < file) disk.remove(pathOf(options.folder, old))
      }
      bytes = 0
    },
    close() {
      appender?.close()
      appender = undefined
    },
  }
}

function replayFile(content: Uint8Array, replay: (record: Uint8Array) => void): number {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength)
  let at = 0
  while (at + HEADER_BYTES <= content.byteLength) {
    const length = view.getUint32(at, true)
    // No record is empty: zeros are a tail that never reached the disk.
    if (length === 0) break
    const record = content.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length)
    if (record.byteLength < length || crc32(record) !== view.getUint32(at + 4, true)) break
    replay(record)
    at += HEADER_BYTES + length
  }
  return at
}

function journalFiles(disk: Disk, folder: string): number[] {
  return disk
    .list(folder)
    .map((name) => /^journal-(\d+)$/.exec(name)?.[1])
    .filter((digits) => digits !== undefined)
    .map(Number)
    .sort((a, b) => a - b)
}

function pathOf(folder: string, file: number): string {
  return `${folder}/journal-${String(file).padStart(8, '0')}`
}
