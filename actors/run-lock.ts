// One control process a run: the folder names the process that has it. A lock outlives a killed process
// and is taken over from it; shards are fenced besides, by incarnations that rise with every life.
import type { Environment } from '../runtime/environment.ts'

export class RunInUseError extends Error {
  override readonly name = 'RunInUseError'
}

/** Answers how to give the run back. Throws `RunInUseError` where a living process has it. */
export function lockRun({ disk, processes }: Environment, folder: string): () => void {
  const path = `${folder}/lock`
  const self = processes.self
  const owner = readOwner()
  if (owner !== undefined && processes.isAlive(owner)) refuse(owner)
  disk.write(path, new TextEncoder().encode(self))
  // Of two that took it at once, the first reads the other's name.
  const now = readOwner()
  if (now !== self) refuse(now ?? 'another')
  return () => {
    if (readOwner() === self) disk.remove(path)
  }

  function readOwner(): string | undefined {
    return disk.exists(path) ? new TextDecoder().decode(disk.read(path)) : undefined
  }

  function refuse(owner: string): never {
    const [id] = owner.split(' ')
    throw new RunInUseError(`${folder} is in use by process ${id}: stop it, or give another --out`)
  }
}
