// Refs and asks. An ask reserves a slot; whatever comes first (reply, death, refusal, deadline) settles
// it, and the slot is gone.

import type { Address, Ref, SendResult } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Limits } from '../protocol/limits.ts'
import { AskError, type AskFailure, type AskOptions } from './actor.ts'
import type { Clock } from './environment.ts'

export type Route = (envelope: Envelope) => SendResult

export function createRef(address: Address, trace: () => number, route: Route): Ref<unknown> {
  return {
    address,
    tell: (payload) => route({ target: address, lane: 'message', trace: trace(), payload }),
  }
}

/** Replies go to `/~<slot>` of the asking member's life. */
export function slotOfPath(path: string): number | undefined {
  return path.startsWith('/~') ? Number(path.slice(2)) : undefined
}

/** The life whose end cancels the asks it has made, or fails those made to it. */
export interface AskParty {
  readonly made: Set<Slot>
  readonly received: Set<Slot>
}

export interface Slot {
  readonly id: number
  target: Address
  /** Members that have passed it on: the message may have been lost with one of them. */
  via: readonly string[]
  readonly owner: AskParty | undefined
  receiver: AskParty | undefined
  readonly stopClock: () => void
  resolve(value: unknown): void
  reject(error: AskError): void
}

export interface Asks {
  readonly pending: number
  ask(
    target: Address,
    message: object,
    options: AskOptions & { readonly owner?: AskParty },
  ): Promise<unknown>
  /** False where nobody waits any more. */
  settle(slot: number, value: unknown): boolean
  fail(slot: number, failure: AskFailure, cause: string): boolean
  /** A local actor took the ask: its death is the asker's answer. */
  received(slot: number, receiver: AskParty): void
  /** Whoever had taken it has passed it on: from now on the death of the new target is the answer. */
  forwarded(slot: number, target: Address): void
  /** Where the ask is, and which members it has passed: their loss fails it. */
  has(slot: number, member: string): boolean
  endParty(party: AskParty, cause: string): void
  failMember(member: string, cause: string): void
  cancelAll(cause: string): void
}

export interface AskWorld {
  readonly self: { readonly member: string; readonly incarnation: number }
  readonly clock: Clock
  readonly limits: Limits
  readonly trace: () => number
  readonly route: Route
  /** The asker waits no longer, and the target is on another member. */
  readonly cancelRemote: (target: Address, slot: number) => void
}

export function createAsks(world: AskWorld): Asks {
  const { self, clock, limits, route } = world
  const slots = new Map<number, Slot>()
  let lastId = 0

  function release(id: number): Slot | undefined {
    const slot = slots.get(id)
    if (!slot) return undefined
    slots.delete(id)
    slot.stopClock()
    slot.owner?.made.delete(slot)
    slot.receiver?.received.delete(slot)
    return slot
  }

  function fail(id: number, failure: AskFailure, cause: string): boolean {
    const slot = release(id)
    slot?.reject(new AskError(failure, `${slot.target.member}${slot.target.path}: ${cause}`))
    return slot !== undefined
  }

  function giveUp(slot: Slot, failure: AskFailure, cause: string): void {
    if (!fail(slot.id, failure, cause)) return
    if (slot.target.member !== self.member) world.cancelRemote(slot.target, slot.id)
  }

  function settle(id: number, value: unknown): boolean {
    const slot = release(id)
    slot?.resolve(value)
    return slot !== undefined
  }

  function reserve(target: Address, timeoutMs: number, owner?: AskParty): [Slot, Promise<unknown>] {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const id = ++lastId
    const stopClock = clock.after(timeoutMs, () =>
      giveUp(slot, 'timeout', `no reply within ${timeoutMs} ms`),
    )
    const party = { owner, receiver: undefined }
    const slot: Slot = { id, target, via: [], ...party, stopClock, resolve, reject }
    slots.set(id, slot)
    owner?.made.add(slot)
    return [slot, promise]
  }

  function detach(slot: Slot): void {
    slot.receiver?.received.delete(slot)
    slot.receiver = undefined
  }

  const isWith = ({ target, via }: Slot, member: string): boolean =>
    target.member === member || via.includes(member)

  return {
    get pending() {
      return slots.size
    },
    ask(target, message, { timeoutMs, owner }) {
      assert(timeoutMs > 0 && timeoutMs <= limits.askTimeoutMsMax, 'an ask has a deadline')
      if (slots.size >= limits.asksMax) {
        return Promise.reject(new AskError('overloaded', `${limits.asksMax} asks are pending`))
      }
      const [slot, promise] = reserve(target, timeoutMs, owner)
      const address = { ...self, path: `/~${slot.id}` }
      const replyTo: Ref<unknown> = {
        address,
        tell: (value) => (settle(slot.id, value) ? 'accepted' : 'stopped'),
      }
      const envelope: Envelope = {
        target,
        sender: { ...self, path: '/' },
        lane: 'message',
        trace: world.trace(),
        slot: slot.id,
        payload: { ...message, replyTo },
      }
      try {
        const result = route(envelope)
        if (result !== 'accepted') fail(slot.id, refusals[result], result)
      } catch (error) {
        // What cannot travel is the asker's mistake: told where it asks, like any other failure.
        release(slot.id)?.reject(error as AskError)
      }
      return promise
    },
    settle,
    fail,
    received(id, receiver) {
      const slot = slots.get(id)
      if (!slot) return
      detach(slot)
      slot.receiver = receiver
      receiver.received.add(slot)
    },
    forwarded(id, target) {
      const slot = slots.get(id)
      if (!slot) return
      if (target.member !== self.member) detach(slot)
      if (slot.target.member !== self.member) slot.via = [...slot.via, slot.target.member]
      slot.target = target
    },
    has(id, member) {
      const slot = slots.get(id)
      return slot !== undefined && isWith(slot, member)
    },
    endParty({ made, received }, cause) {
      for (const slot of [...received]) fail(slot.id, 'died', cause)
      for (const slot of [...made]) giveUp(slot, 'cancelled', 'the asker ended')
    },
    failMember(member, cause) {
      for (const slot of [...slots.values()]) {
        if (isWith(slot, member)) fail(slot.id, 'unreachable', cause)
      }
    },
    cancelAll(cause) {
      for (const slot of [...slots.values()]) giveUp(slot, 'cancelled', cause)
    },
  }
}

const refusals = { full: 'overloaded', stopped: 'died', unreachable: 'unreachable' } as const
