// Names a process so that a later one with the same id is not taken for it: the id, and where the
// platform tells (Linux), when it started.
import { existsSync, readFileSync } from 'node:fs'
import process from 'node:process'

export function identityOf(id: number): string | undefined {
  if (!existsSync('/proc/self/stat')) return mayBeSignalled(id) ? `${id}` : undefined
  // After the name in parentheses, which may hold anything: the state, and 19 fields on, the start time.
  const fields = readStat(id)?.split(') ').at(-1)?.split(' ')
  const [state, startedAt] = [fields?.[0], fields?.[19]]
  return state === undefined || state === 'Z' ? undefined : `${id} ${startedAt}`
}

export function isAlive(identity: string): boolean {
  return identityOf(Number.parseInt(identity, 10)) === identity
}

function readStat(id: number): string | undefined {
  try {
    return readFileSync(`/proc/${id}/stat`, 'utf8')
  } catch {
    // It is gone.
    return undefined
  }
}

function mayBeSignalled(id: number): boolean {
  try {
    process.kill(id, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
