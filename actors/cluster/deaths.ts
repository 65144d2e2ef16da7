// Who of a run has died, and when its successor had done something useful: what the report tells of
// deaths, and when there is no use in another life.
import { type Clock, DiskFullError } from '../../runtime/environment.ts'
import type { PoolEvent } from '../../runtime/worker/pool.ts'
import type { RunEvent } from '../events.ts'
import type { Restart } from '../report.ts'
import { FormerOwnerError } from '../shard-store.ts'
import { isComputing } from './processes.ts'

export interface DeathRegister {
  /** Every death so far, those of earlier lives of the run first. */
  restarts(): readonly Restart[]
  died(actor: string, event: Exited): void
  restarting(actor: string, event: Restarting): void
  recovered(actor: string): void
  /** A step is done: by these, and by every shard and whoever made its lattices. */
  finished(worked: readonly string[]): void
  /** It has left: its last life is not waited for. */
  left(actor: string): void
}

type Exited = Extract<PoolEvent, { type: 'exited' }>
type Restarting = Extract<PoolEvent, { type: 'restarting' }>

/** Deaths of one process in a row, without a finished step between: the next life would end alike. */
const DEATHS_IN_A_ROW_MAX = 10

export function deathRegister(world: {
  readonly clock: Clock
  readonly emit: (event: RunEvent) => void
  /** Of earlier lives of the run. */
  readonly restarts: readonly Restart[]
  readonly onGaveUp: (cause: string) => void
}): DeathRegister {
  const { clock, emit, onGaveUp } = world
  const restarts: Restart[] = [...world.restarts]
  /** Actor -> when its death was seen: until its successor has done something useful. */
  const deaths = new Map<string, Omit<Restart, 'actor' | 'recoveredMs'> & { at: number }>()
  const inARow = new Map<string, number>()
  return {
    restarts() {
      const pending = [...deaths].map(([actor, death]) => restartOf(actor, death, null))
      return [...restarts, ...pending]
    },
    died(actor, { cause, device, isDeviceFault }) {
      // Dead again before it was back.
      const before = deaths.get(actor)
      if (before) restarts.push(restartOf(actor, before, null))
      const death = { cause, ...(device !== undefined && { device, isDeviceFault }) }
      deaths.set(actor, { ...death, at: clock.now() })
      emit({ type: 'death', actor, ...death })
      const count = (inARow.get(actor) ?? 0) + 1
      inARow.set(actor, count)
      if (isHopeless(cause)) onGaveUp(`${actor}: ${cause}`)
      if (count > DEATHS_IN_A_ROW_MAX) {
        onGaveUp(`${actor}: ${cause} (${count} times in a row without a finished step)`)
      }
    },
    restarting(actor, { device, deviceReason: reason }) {
      const death = deaths.get(actor)
      if (!death || device === undefined || reason === undefined) return
      deaths.set(actor, { ...death, nextDevice: device })
      if (device !== death.device) emit({ type: 'device', actor, device, reason })
    },
    recovered(actor) {
      const death = deaths.get(actor)
      if (!death) return
      deaths.delete(actor)
      const recoveredMs = clock.now() - death.at
      restarts.push(restartOf(actor, death, recoveredMs))
      emit({ type: 'recovered', actor, recoveredMs })
    },
    finished(worked) {
      for (const name of inARow.keys()) {
        if (worked.includes(name) || !isComputing(name)) inARow.delete(name)
      }
    },
    left(actor) {
      const death = deaths.get(actor)
      if (death) restarts.push(restartOf(actor, death, null))
      deaths.delete(actor)
      inARow.delete(actor)
    },
  }
}

function restartOf(
  actor: string,
  { at: _, ...death }: Omit<Restart, 'actor' | 'recoveredMs'> & { at: number },
  recoveredMs: number | null,
): Restart {
  return { actor, ...death, recoveredMs }
}

// The cause carries the name of the error class across processes: a successor would meet the same.
function isHopeless(cause: string): boolean {
  return [DiskFullError, FormerOwnerError].some(({ name }) => cause.includes(`${name}: `))
}
