// `bun run check:deno`: the conformance suite on Deno, from the PATH or else from the npm registry.
import { fileURLToPath } from 'node:url'
import { EngineError, findEngine } from '../../runtime/engine.ts'

/** The version it was tried with; .ci/run installs the same. */
const DENO_VERSION = '2.9.6'

const suite = fileURLToPath(new URL('./deno.ts', import.meta.url))

/** Undefined where Deno is not on the PATH. */
export function suiteCommand(): readonly string[] | undefined {
  try {
    return [findEngine('deno'), 'run', '--quiet', '--allow-all', suite]
  } catch (error) {
    if (error instanceof EngineError) return undefined
    throw error
  }
}

if (import.meta.main) {
  const fromRegistry = ['npx', '-y', `deno@${DENO_VERSION}`, 'run', '--quiet', '--allow-all', suite]
  const command = suiteCommand() ?? fromRegistry
  if (Bun.which(command[0] ?? '') === null) {
    console.error('deno is not on the PATH, and npx is not there to fetch it: install deno or npm')
    process.exit(1)
  }
  console.log(command.join(' '))
  const child = Bun.spawn([...command], { stdio: ['ignore', 'inherit', 'inherit'] })
  process.exit(await child.exited)
}
