// Peers are installed by the benchmark, into a folder that it removes; they are no dependency of ours.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const PACKAGES = ['nact@7.6.2', 'xstate@5.32.6']
const INSTALL_MS_MAX = 60_000

export interface Installed extends Disposable {
  readonly folder: string
  /** False where the registry could not be reached: then they are not measured. */
  readonly isThere: boolean
}

export async function installPeers(): Promise<Installed> {
  const folder = mkdtempSync(join(tmpdir(), 'troupe-peers-'))
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const add = Bun.spawn([process.execPath, 'add', '--silent', ...PACKAGES], {
    cwd: folder,
    stdin: 'ignore',
    stdout: 'ignore',
    stderr: 'inherit',
    timeout: INSTALL_MS_MAX,
  })
  return {
    folder,
    isThere: (await add.exited) === 0,
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  }
}
