// Control planes that run on this machine, so that the command line finds them: a file for each, which only
// its user may read, because it holds the token.
import { type Disk, DiskError, type Environment } from '../../runtime/index.ts'

export interface RegisteredPlane {
  readonly url: string
  readonly token: string
  readonly processId: number
  /** Names the process, now and not a later one of the same id. */
  readonly self: string
  /** Folder of its run; absent where it may have many. */
  readonly out?: string
  /** Milliseconds since 1970. */
  readonly startedAt: number
}

type Variables = Readonly<Record<string, string | undefined>>

/** `TROUPE_HOME`, else where the platform keeps the state of programs (XDG Base Directory 0.8). */
export function stateFolder({ TROUPE_HOME, XDG_STATE_HOME, HOME }: Variables): string {
  if (TROUPE_HOME) return TROUPE_HOME
  return `${XDG_STATE_HOME || `${HOME ?? '.'}/.local/state`}/troupe`
}

/** Answers how to take it back. */
export function registerPlane(
  { disk }: Environment,
  folder: string,
  plane: RegisteredPlane,
): () => void {
  const path = `${folder}/clusters/${plane.processId}-${plane.startedAt}.json`
  disk.makeFolder(`${folder}/clusters`)
  disk.writePrivate(path, new TextEncoder().encode(JSON.stringify(plane)))
  return () => disk.remove(path)
}

/** The newest first; what a killed process left behind is removed. */
export function findPlanes({ disk, processes }: Environment, folder: string): RegisteredPlane[] {
  const clusters = `${folder}/clusters`
  if (!disk.exists(clusters)) return []
  const planes: RegisteredPlane[] = []
  for (const name of disk.list(clusters).filter((each) => each.endsWith('.json'))) {
    const plane = readPlane(disk, `${clusters}/${name}`)
    if (plane && processes.isAlive(plane.self)) planes.push(plane)
    else disk.remove(`${clusters}/${name}`)
  }
  return planes.sort((a, b) => b.startedAt - a.startedAt)
}

function readPlane(disk: Disk, path: string): RegisteredPlane | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(disk.read(path))) as RegisteredPlane
  } catch (error) {
    // It went away while we looked, or is half of one.
    if (error instanceof DiskError || error instanceof SyntaxError) return undefined
    throw error
  }
}
