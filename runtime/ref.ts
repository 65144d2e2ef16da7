// Refs and asks. An ask reserves a slot; whatever comes first (reply, death, refusal, deadline) settles
// it, and the slot is gone.

import type { Address, Ref, SendResult } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Limits } from '../protocol/limits.ts'
import { AskError, type AskFailure, type AskOptions } from './actor.ts'
import { createDeadlines, type Expiring } from './deadlines.ts'
import type { Clock } from './environment.ts'

export type Route = (envelope: Envelope) => SendResult

/** Its `tell` goes through the one function that sees every envelope. */
class RoutedRef implements Ref<unknown> {
  readonly address: Address
  private readonly send: Send

  constructor(address: Address, send: Send) {
    this.address = address
    this.send = send
  }

  /** Made when asked for, so that it may be handed on by itself: `promise.then(ref.tell)`. */
  get tell(): (payload: unknown) => SendResult {
    return (payload) => this.send(this.address, payload)
  }
}

export type Send = (target: Address, payload: unknown) => SendResult

export function createRef(address: Address, send: Send): Ref<unknown> {
  return new RoutedRef(address, send)
}

/** Replies go to `/~<slot>` of the asking member's life. */
export function slotOfPath(path: string): number | undefined {
  return path.startsWith('/~') ? Number(path.slice(2)) : undefined
}

/** The life whose end cancels the asks it has made, or fails those made to it. */
export interface AskParty {
  readonly incarnation: number
  made: Set<Slot> | undefined
  /** The first of a list: an ask for each message must not cost a set. */
  received: Slot | undefined
}

const NOBODY: readonly string[] = []

/** Where one reply is awaited. */
export class Slot implements Expiring {
  readonly id: number
  /** Whoever is to answer: another one after a `forward`. */
  target: Address
  /** Members that have passed it on: the message may have been lost with one of them. */
  via: readonly string[] = NOBODY
  readonly owner: AskParty | undefined
  readonly timeoutMs: number
  private readonly asks: Asks
  receiver: AskParty | undefined = undefined
  /** Its neighbours among all that its receiver has received. */
  receivedBefore: Slot | undefined = undefined
  receivedAfter: Slot | undefined = undefined
  resolve!: (value: unknown) => void
  reject!: (error: AskError) => void
  expiresAt = 0
  earlier: Expiring | undefined = undefined
  later: Expiring | undefined = undefined

  constructor(asks: Asks, id: number, target: Address, ask: AskOptions & { owner?: AskParty }) {
    this.asks = asks
    this.id = id
    this.target = target
    this.timeoutMs = ask.timeoutMs
    this.owner = ask.owner
  }

  expired(): void {
    this.asks.expired(this)
  }
}

/** The address that an asked actor replies to. */
class ReplyRef implements Ref<unknown> {
  private readonly asks: Asks
  private readonly slot: number

  constructor(asks: Asks, slot: number) {
    this.asks = asks
    this.slot = slot
  }

  get address(): Address {
    return { ...this.asks.self, path: `/~${this.slot}` }
  }

  get tell(): (value: unknown) => SendResult {
    return (value) => (this.asks.settle(this.slot, value) ? 'accepted' : 'stopped')
  }
}

/** The latest first; a copy. */
export function receivedBy({ received }: AskParty): readonly Slot[] {
  const slots: Slot[] = []
  for (let slot = received; slot; slot = slot.receivedAfter) slots.push(slot)
  return slots
}

export interface Asks {
  readonly self: { readonly member: string; readonly incarnation: number }
  readonly pending: number
  ask(
    target: Address,
    message: object,
    options: AskOptions & { readonly owner?: AskParty },
  ): Promise<unknown>
  /** False where nobody waits any more. */
  settle(slot: number, value: unknown): boolean
  fail(slot: number, failure: AskFailure, cause: string, incarnation?: number): boolean
  expired(slot: Slot): void
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
  readonly trace: () => string | undefined
  readonly route: Route
  /** The asker waits no longer, and the target is on another member. */
  readonly cancelRemote: (target: Address, slot: number) => void
}

export function createAsks(world: AskWorld): Asks {
  const { self, limits, route } = world
  const slots = new Map<number, Slot>()
  const deadlines = createDeadlines(world.clock)
  const sender: Address = { ...self, path: '/' }
  let lastId = 0

  function release(id: number): Slot | undefined {
    const slot = slots.get(id)
    if (!slot) return undefined
    slots.delete(id)
    deadlines.end(slot.timeoutMs, slot)
    const { owner } = slot
    if (owner?.made?.delete(slot) && owner.made.size === 0) owner.made = undefined
    detach(slot)
    return slot
  }

  function fail(id: number, failure: AskFailure, cause: string, incarnation?: number): boolean {
    const slot = release(id)
    if (!slot) return false
    const { member, path } = slot.target
    const remote = member !== self.member
    slot.reject(new AskError(failure, `${member}${path}: ${cause}`, { remote, incarnation }))
    return true
  }

  function giveUp(slot: Slot, failure: AskFailure, cause: string): void {
    if (!fail(slot.id, failure, cause)) return
    if (slot.target.member !== self.member) world.cancelRemote(slot.target, slot.id)
  }

  function attach(slot: Slot, receiver: AskParty): void {
    const after = receiver.received
    slot.receiver = receiver
    slot.receivedAfter = after
    if (after) after.receivedBefore = slot
    receiver.received = slot
  }

  function detach(slot: Slot): void {
    const { receiver, receivedBefore: before, receivedAfter: after } = slot
    if (!receiver) return
    if (before) before.receivedAfter = after
    else receiver.received = after
    if (after) after.receivedBefore = before
    slot.receiver = slot.receivedBefore = slot.receivedAfter = undefined
  }

  const isWith = ({ target, via }: Slot, member: string): boolean =>
    target.member === member || via.includes(member)

  function reserve(target: Address, options: AskOptions & { readonly owner?: AskParty }): Slot {
    const slot = new Slot(asks, ++lastId, target, options)
    slots.set(slot.id, slot)
    deadlines.begin(slot.timeoutMs, slot)
    const { owner } = options
    if (owner) {
      owner.made ??= new Set()
      owner.made.add(slot)
    }
    return slot
  }

  function send(slot: Slot, message: object): void {
    const envelope: Envelope = {
      target: slot.target,
      sender,
      lane: 'message',
      trace: world.trace(),
      slot: slot.id,
      payload: { ...message, replyTo: new ReplyRef(asks, slot.id) },
    }
    try {
      const result = route(envelope)
      if (result !== 'accepted') fail(slot.id, refusals[result], result)
    } catch (error) {
      // What cannot travel is the asker's mistake: told where it asks, like any other failure.
      release(slot.id)?.reject(error as AskError)
    }
  }

  const asks: Asks = {
    self,
    get pending() {
      return slots.size
    },
    ask(target, message, options) {
      const { timeoutMs } = options
      assert(timeoutMs > 0 && timeoutMs <= limits.askTimeoutMsMax, 'an ask has a deadline')
      if (slots.size >= limits.asksMax) {
        return Promise.reject(new AskError('overloaded', `${limits.asksMax} asks are pending`))
      }
      const slot = reserve(target, options)
      return new Promise((resolve, reject) => {
        slot.resolve = resolve
        slot.reject = reject
        send(slot, message)
      })
    },
    settle(id, value) {
      const slot = release(id)
      slot?.resolve(value)
      return slot !== undefined
    },
    fail,
    expired: (slot) => giveUp(slot, 'timeout', `no reply within ${slot.timeoutMs} ms`),
    received(id, receiver) {
      const slot = slots.get(id)
      if (!slot) return
      detach(slot)
      attach(slot, receiver)
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
    endParty(party, cause) {
      const { made, incarnation } = party
      for (const slot of receivedBy(party)) fail(slot.id, 'died', cause, incarnation)
      if (made) for (const slot of [...made]) giveUp(slot, 'cancelled', 'the asker ended')
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
  return asks
}

const refusals = { full: 'overloaded', stopped: 'died', unreachable: 'unreachable' } as const
