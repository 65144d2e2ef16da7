// Files in memory for corpus tests, and where the shared recordings lie on machines that have them.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CorpusFiles } from '../../../models/sequence/corpus.ts'

/** Contents by path: bytes, or text. */
export function filesOf(contents: Readonly<Record<string, Uint8Array | string>>): CorpusFiles {
  const encoder = new TextEncoder()
  return {
    readFile(path) {
      const content = contents[path]
      if (content === undefined) throw new Error(`${path}: no such file`)
      return typeof content === 'string' ? encoder.encode(content) : content
    },
    listFiles(folder) {
      const paths = Object.keys(contents).filter((path) => path.startsWith(`${folder}/`))
      if (paths.length === 0) throw new Error(`${folder}: no such folder`)
      const names = paths.map((path) => path.slice(folder.length + 1))
      return names.filter((name) => !name.includes('/'))
    },
  }
}

const shared = process.env.TROUPE_SHARED ?? join(import.meta.dir, '../../../../shared')

export const sharedRecordings = join(shared, 'data/fsdd/recordings')
export const hasSharedRecordings = existsSync(sharedRecordings)

export const realFiles: CorpusFiles = {
  readFile: (path) => new Uint8Array(readFileSync(path)),
  listFiles: (folder) => readdirSync(folder),
}
