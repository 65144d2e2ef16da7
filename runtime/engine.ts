// The programs that run members: which one this process is, and where the others are.
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { basename, delimiter, dirname, join } from 'node:path'
import process from 'node:process'

/** Members of one cluster may run on either. */
export type Engine = 'bun' | 'deno'

/** The program is not there, or this process runs on neither. */
export class EngineError extends Error {
  override readonly name = 'EngineError'
}

/** What this process runs on; undefined on anything else, Node.js say. */
export function ownEngine(): Engine | undefined {
  const { bun, deno } = process.versions
  return bun !== undefined ? 'bun' : deno !== undefined ? 'deno' : undefined
}

/** The command line of a module; `engine` defaults to the own one. Throws `EngineError`. */
export function commandFor(
  engine: Engine | undefined,
  script: string,
): readonly [string, ...string[]] {
  const chosen = engine ?? ownEngine()
  if (chosen === undefined) {
    throw new EngineError('processes are started on Bun or Deno: run this one with either')
  }
  // A worker loads native code and reads /proc; nobody could answer a question on its standard input.
  const options = chosen === 'deno' ? ['run', '--quiet', '--allow-all'] : []
  return [findEngine(chosen), ...options, script]
}

/** Path of its executable: this process's own, or the first on the PATH. Throws `EngineError`. */
export function findEngine(engine: Engine): string {
  if (engine === ownEngine()) return process.execPath
  const name = process.platform === 'win32' ? `${engine}.exe` : engine
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  const found = folders.map((folder) => join(folder, name)).find(isExecutable)
  if (found !== undefined) return behindLauncher(engine, realpathSync(found))
  throw new EngineError(`${engine} is not on the PATH: install it (npm install -g ${engine})`)
}

// Where npm may not run a package's install script, a launcher stands in for Deno. A signal would end the
// launcher and leave the process.
function behindLauncher(engine: Engine, path: string): string {
  if (basename(path) !== 'bin.cjs') return path
  const program = join(dirname(path), engine)
  if (isExecutable(program)) return program
  throw new EngineError(`${path} has not been installed to the end: run it once by hand`)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    // Not there, or not for us.
    return false
  }
}
