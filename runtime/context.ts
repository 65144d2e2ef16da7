// What a behavior may use during one of its lives. After that life, nothing here has an effect.

import type { Ref } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import {
  type ActorDefinition,
  type AnyDefinition,
  type Ask,
  AskError,
  type Context,
  type Outcome,
  type SpawnOptions,
} from './actor.ts'
import { type Cell, type Kernel, type Life, spawnCell } from './cell.ts'
import type { Forwarding } from './forwarding.ts'

export interface ContextWorld {
  readonly kernel: Kernel
  refTo(path: string): Ref<never>
  /** Stops the actor at a path of this member. */
  stopAt(path: string): void
  trace(): number
  readonly forwarding: Forwarding
}

export function createContext(
  { kernel, refTo, stopAt, trace, forwarding }: ContextWorld,
  cell: Cell,
  life: () => Life | undefined,
  incarnation: number,
): Context<unknown> {
  const { environment, limits, inspector } = kernel
  const self = refTo(cell.path) as Ref<unknown>

  function tellSelf(message: unknown): void {
    if (!life()) return
    cell.mailbox.insist({ target: self.address, lane: 'message', trace: trace(), payload: message })
    kernel.schedule(cell)
  }

  const log =
    (level: 'info' | 'warn') =>
    (message: string, fields: Readonly<Record<string, unknown>> = {}): void =>
      inspector.emit({ type: 'log', level, path: cell.path, message, fields })

  const ask = (ref: Ref<never>, message: object, { timeoutMs }: { timeoutMs: number }) => {
    const owner = life()
    return owner
      ? kernel.asks.ask(ref.address, message, { timeoutMs, owner })
      : Promise.reject(new AskError('cancelled', 'the asker ended'))
  }

  return {
    self,
    incarnation,
    environment,
    log: { info: log('info'), warn: log('warn') },
    ask: ask as unknown as Ask,
    spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M> {
      assert(life() !== undefined, 'only a living actor spawns')
      const start = { definition: definition as unknown as AnyDefinition, config, options }
      return refTo(spawnCell(kernel, cell, start).path) as Ref<M>
    },
    pipe<T>(promise: Promise<T>, toMessage: (outcome: Outcome<T>) => unknown) {
      const owner = life()
      if (!owner) return
      assert(owner.pipes < limits.asksMax, `an actor awaits at most ${limits.asksMax} outcomes`)
      owner.pipes += 1
      const settle = (outcome: Outcome<T>): void => {
        owner.pipes -= 1
        if (life()) tellSelf(toMessage(outcome))
      }
      promise.then(
        (value) => settle({ ok: true, value }),
        (error: unknown) => settle({ ok: false, error: asError(error) }),
      )
    },
    after(ms, message) {
      const owner = life()
      if (!owner) return () => {}
      assert(
        owner.timers.size < limits.timersMax,
        `an actor has at most ${limits.timersMax} timers`,
      )
      const stopClock = environment.clock.after(ms, () => {
        owner.timers.delete(cancel)
        tellSelf(message)
      })
      const cancel = (): void => {
        owner.timers.delete(cancel)
        stopClock()
      }
      owner.timers.add(cancel)
      return cancel
    },
    watch(ref) {
      const owner = life()
      if (owner) kernel.watches.watch(owner, ref)
    },
    forward: (ref, message) => (life() ? forwarding.forward(ref.address, message) : 'stopped'),
    refuse(message, failure, cause) {
      if (life()) forwarding.refuse(self.address, message, failure, cause)
    },
    load: (ref) => forwarding.load(ref),
    stop(child) {
      const { path } = child.address
      assert(
        path === cell.path || path.startsWith(`${cell.path}/`),
        `${path} is below ${cell.path}`,
      )
      stopAt(path)
    },
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
