// Passing a message on so that its ask stays whole: the reply still goes straight to the asker, and the
// asker still hears at once when whoever has the message now dies. `replyTo` says who waits for it.
import type { Address, Ref, SendResult } from '../protocol/address.ts'
import type { Envelope } from '../protocol/envelope.ts'
import { isAddress, isRef } from '../protocol/schema.ts'
import type { Refusal } from './actor.ts'
import type { Cell } from './lives.ts'
import { type Asks, type Route, receivedBy, slotOfPath } from './ref.ts'
import type { RemoteAsks } from './remote-asks.ts'
import { SYSTEM_PATH, type SystemSignal } from './signals.ts'

/** Whom the answer to a message is for, and in which slot it is awaited. */
export interface Asker {
  readonly member: string
  readonly slot: number
}

/** The asker of a message, or undefined where none waits; also before the message is decoded. */
export function askerOf(message: unknown): Asker | undefined {
  if (typeof message !== 'object' || message === null || !('replyTo' in message)) return undefined
  const { replyTo } = message
  const address = isRef(replyTo) ? replyTo.address : isAddress(replyTo) ? replyTo : undefined
  const slot = address && slotOfPath(address.path)
  return address && slot !== undefined ? { member: address.member, slot } : undefined
}

export interface ForwardingWorld {
  readonly member: string
  readonly asks: Asks
  readonly remoteAsks: RemoteAsks
  readonly route: Route
  readonly trace: () => string | undefined
  readonly signal: (member: string, signal: SystemSignal) => boolean
  /** The living actor at an address of this member. */
  readonly find: (address: Address) => Pick<Cell, 'life' | 'mailbox'> | undefined
  readonly isPresent: (member: string) => boolean
  readonly deadLetter: (target: Address, cause: string) => void
}

export interface Forwarding {
  forward(target: Address, message: unknown): SendResult
  refuse(self: Address, message: unknown, failure: Refusal, cause: string): void
  load(ref: Ref<never>): number | undefined
  /** Where an ask that came from a peer is answered and refused: not at who passed it on. */
  askingMember(envelope: Envelope, from: string): string
  /** A peer has passed on an ask of this member. */
  forwarded(signal: Extract<SystemSignal, { readonly type: 'forwarded' }>, from: string): void
}

export function createForwarding(world: ForwardingWorld): Forwarding {
  const { member, asks, remoteAsks, signal } = world

  function handOver(asker: Asker, target: Address): void {
    if (asker.member === member) return asks.forwarded(asker.slot, target)
    // To an actor here it stays this member's: `deliver` has put it on the new life's account.
    if (target.member === member) return
    remoteAsks.forget(asker.member, asker.slot)
    const { path } = target
    signal(asker.member, { type: 'forwarded', slot: asker.slot, member: target.member, path })
  }

  return {
    forward(target, message) {
      const asker = askerOf(message)
      const ask = asker && { sender: { member: asker.member, path: SYSTEM_PATH }, slot: asker.slot }
      const lane = 'message' as const
      const envelope = { target, lane, trace: world.trace(), payload: message, ...ask }
      const result = world.route(envelope)
      if (asker && result === 'accepted') handOver(asker, target)
      return result
    },
    refuse(self, message, failure, cause) {
      const asker = askerOf(message)
      if (!asker) return world.deadLetter(self, cause)
      if (asker.member === member) return void asks.fail(asker.slot, failure, cause)
      remoteAsks.forget(asker.member, asker.slot)
      signal(asker.member, { type: 'refused', slot: asker.slot, failure, cause })
    },
    load({ address }) {
      const { life, mailbox } = world.find(address) ?? {}
      if (!life || !mailbox) return undefined
      return mailbox.messages + receivedBy(life).length + remoteAsks.unanswered(life)
    },
    askingMember({ slot, payload }, from) {
      const asker = slot === undefined ? from : (askerOf(payload)?.member ?? from)
      return asker === from || asker === member || world.isPresent(asker) ? asker : from
    },
    forwarded({ slot, member: to, path }, from) {
      if (!asks.has(slot, from)) return
      asks.forwarded(slot, { member: to, path })
      // It may have been lost before this was heard.
      if (to !== member && !world.isPresent(to)) {
        asks.fail(slot, 'unreachable', `${to} is not known here`)
      }
    },
  }
}
