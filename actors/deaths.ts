// The deaths of a run's processes: told when they are seen, over when a successor has done something useful.
import { type Clock, DiskFullError } from '../runtime/environment.ts'
import type { PoolEvent } from '../runtime/worker/pool.ts'
import type { RunEvent } from './events.ts'
import type { Restart } from './report.ts'
import { FormerOwnerError } from './shard-store.ts'

export interface Deaths {
  /** Every death so far, of all lives of the run. */
  readonly restarts: readonly Restart[]
  died(actor: string, death: Extract<PoolEvent, { type: 'exited' }>): void
  restarting(actor: string, next: Extract<PoolEvent, { type: 'restarting' }>): void
  recovered(actor: string): void
  /** A step is finished: those that took part are not dying in a row. */
  worked(tookPart: (actor: string) => boolean): void
  /** It was taken out: it will not be back. */
  forget(actor: string): void
}

/** Deaths of one process in a row, without a finished step between: the next life would end alike. */
const DEATHS_IN_A_ROW_MAX = 10

type Pending = Omit<Restart, 'actor' | 'recoveredMs'> & { readonly at: number }

export function createDeaths(options: {
  readonly clock: Clock
  readonly restarts: readonly Restart[]
  readonly emit: (event: RunEvent) => void
  readonly onGaveUp: (cause: string) => void
}): Deaths {
  const { clock, emit } = options
  const restarts: Restart[] = [...options.restarts]
  /** Actor -> when its death was seen. */
  const pending = new Map<string, Pending>()
  const inARow = new Map<string, number>()

  function close(actor: string, recoveredMs: number | null): void {
    const death = pending.get(actor)
    if (!death) return
    pending.delete(actor)
    restarts.push(restartOf(actor, death, recoveredMs))
  }

  return {
    get restarts() {
      return [...restarts, ...[...pending].map(([actor, death]) => restartOf(actor, death, null))]
    },
    died(actor, { cause, device, isDeviceFault }) {
      // Dead again before it was back.
      close(actor, null)
      const death = { cause, ...(device !== undefined && { device, isDeviceFault }) }
      pending.set(actor, { ...death, at: clock.now() })
      emit({ type: 'death', actor, ...death })
      const count = (inARow.get(actor) ?? 0) + 1
      inARow.set(actor, count)
      if (isHopeless(cause)) options.onGaveUp(`${actor}: ${cause}`)
      if (count > DEATHS_IN_A_ROW_MAX) {
        options.onGaveUp(`${actor}: ${cause} (${count} times in a row without a finished step)`)
      }
    },
    restarting(actor, { device, deviceReason: reason }) {
      const death = pending.get(actor)
      if (!death || device === undefined || reason === undefined) return
      pending.set(actor, { ...death, nextDevice: device })
      if (device !== death.device) emit({ type: 'device', actor, device, reason })
    },
    recovered(actor) {
      const death = pending.get(actor)
      if (!death) return
      const recoveredMs = clock.now() - death.at
      close(actor, recoveredMs)
      emit({ type: 'recovered', actor, recoveredMs })
    },
    worked(tookPart) {
      for (const actor of inARow.keys()) if (tookPart(actor)) inARow.delete(actor)
    },
    forget(actor) {
      close(actor, null)
      inARow.delete(actor)
    },
  }
}

function restartOf(
  actor: string,
  { at: _, ...death }: Pending,
  recoveredMs: number | null,
): Restart {
  return { actor, ...death, recoveredMs }
}

// The cause carries the name of the error class across processes: a successor would meet the same.
function isHopeless(cause: string): boolean {
  return [DiskFullError, FormerOwnerError].some(({ name }) => cause.includes(`${name}: `))
}
