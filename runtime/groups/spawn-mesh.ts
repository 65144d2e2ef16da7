// A mesh of new actors over several members: all of them start, or none stays.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import { type ActorDefinition, type SpawnOptions, StartError } from '../actor.ts'
import { describeError } from '../lives.ts'
import { spawnerOn } from '../spawner.ts'
import type { System } from '../system.ts'
import { type Mesh, mesh } from './mesh.ts'
import { type Coordinates, checkShape, coordinatesOf } from './shape.ts'

export interface SpawnMeshOptions<Config, Dimension extends string> extends SpawnOptions {
  /** Names begin with it and end with the coordinates: `trainer-0-3`. */
  readonly name: string
  /** One for each index of the first dimension. Each knows the kind (`SystemOptions.definitions`). */
  readonly members: readonly string[]
  /** Default: one dimension, `host`. */
  readonly shape?: { readonly [D in Dimension]: number }
  readonly config: (at: Coordinates<Dimension>) => Config
  /** For each start. Default 30,000. */
  readonly timeoutMs?: number
}

const STOP_TIMEOUT_MS = 5_000

/**
 * Starts an actor at every coordinate, all at once. Where one start fails the others are stopped, and the
 * promise rejects with a `StartError` that names all that failed. Whether an actor runs whose start was
 * not answered in time, nobody knows: it is named, and left alone.
 */
export async function spawnMesh<Config, State, Message, Dimension extends string = 'host'>(
  system: System,
  definition: ActorDefinition<Config, State, Message>,
  options: SpawnMeshOptions<Config, Dimension>,
): Promise<Mesh<Message, Dimension>> {
  const { name, members, config, shape: given, ...spawn } = options
  const shape = given ?? ({ host: members.length } as { readonly [D in Dimension]: number })
  const [first = 'host' as Dimension] = Object.keys(shape) as Dimension[]
  checkShape({ [first]: shape[first] }, members.length)
  const places = coordinatesOf(shape) as Coordinates<Dimension>[]
  const starts = await Promise.allSettled(
    places.map((at) => {
      const own = `${name}-${Object.values(at).join('-')}`
      return system.spawnOn(members[at[first]]!, definition, config(at), { ...spawn, name: own })
    }),
  )
  const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
  const failed = starts.flatMap((start) => (start.status === 'rejected' ? [start.reason] : []))
  if (failed.length === 0) return mesh(started, { shape })
  const left = await stopAll(system, started)
  const stopped = `${started.length - left.length} that had started are stopped`
  const remnant = left.length > 0 ? `; not known of ${left.join(', ')}` : ''
  const causes = failed.map(describeError).join('; ')
  throw new StartError(`the mesh ${name}`, `${causes}; ${stopped}${remnant}`, { cause: failed[0] })
}

/** Those of whom it is not known that they have stopped. */
async function stopAll(system: System, refs: readonly Ref<never>[]): Promise<string[]> {
  const stops = refs.map(async ({ address }) => {
    try {
      const spawner = spawnerOn(system, address.member)
      const { path } = address
      await system.ask(spawner, { type: 'stop', path }, { timeoutMs: STOP_TIMEOUT_MS })
      return []
    } catch {
      // Its member is gone, or does not answer: told to the caller.
      return [formatAddress(address)]
    }
  })
  return (await Promise.all(stops)).flat()
}
