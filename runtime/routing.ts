// Where an envelope goes: to a cell of this member, to a reply slot, or to the link of another member; and
// what becomes of those that came over a link.
import type { Address, SendResult } from '../protocol/address.ts'
import type { Envelope } from '../protocol/envelope.ts'
import { DecodeError, type Resolve } from '../protocol/schema.ts'
import type { Inspector } from './inspect.ts'
import type { Cell, Kernel } from './lives.ts'
import { slotOfPath } from './ref.ts'
import type { RemoteAsks } from './remote-asks.ts'
import { SYSTEM_PATH, SystemSignal } from './signals.ts'

export interface RoutingWorld {
  readonly self: { readonly member: string; readonly incarnation: number }
  readonly kernel: Kernel
  readonly remoteAsks: RemoteAsks
  readonly resolve: Resolve
  readonly inspector: Inspector
  /** To the link of the member in the target. */
  send(envelope: Envelope): SendResult
  signal(to: string, signal: SystemSignal): boolean
  /** Those that are not about watches and asks. */
  membershipSignal(signal: SystemSignal, from: string): void
}

export interface Routing {
  route(envelope: Envelope): SendResult
  /** Came over the link of `from`. */
  receive(envelope: Envelope, from: string): void
  livingAt(address: Address): Cell | undefined
}

export function createRouting(world: RoutingWorld): Routing {
  const { self, kernel, remoteAsks, resolve, inspector, signal } = world
  const { member } = self
  const { cells } = kernel

  function route(envelope: Envelope): SendResult {
    if (inspector.isTracing) inspector.emit({ type: 'routed', envelope })
    const { target } = envelope
    if (target.member === member) return deliver(envelope)
    remoteAsks.answered(target)
    const result = world.send(envelope)
    if (result === 'full') inspector.emit({ type: 'full', target })
    if (result !== 'accepted') refuseReply(envelope, result)
    return result
  }

  // The asker must not wait for a reply that could not be sent.
  function refuseReply({ target }: Envelope, result: SendResult): void {
    const slot = slotOfPath(target.path)
    if (slot === undefined) return
    const cause = `its reply was refused: ${result}`
    signal(target.member, { type: 'refused', slot, failure: 'overloaded', cause })
  }

  function deliver(envelope: Envelope): SendResult {
    const { target, slot, sender } = envelope
    const replySlot = slotOfPath(target.path)
    if (replySlot !== undefined) return deliverReply(envelope, replySlot)
    const cell = livingAt(target)
    if (!cell?.life || cell.isDraining) {
      inspector.emit({
        type: 'dead-letter',
        target,
        cause: cell?.life ? 'draining' : 'no such actor',
      })
      return 'stopped'
    }
    if (!cell.mailbox.push(envelope)) {
      inspector.emit({ type: 'full', target })
      return 'full'
    }
    if (slot !== undefined && sender) {
      if (sender.member === member) kernel.asks.received(slot, cell.life)
      else remoteAsks.received(sender.member, slot, cell.life)
    }
    kernel.schedule(cell)
    return 'accepted'
  }

  function deliverReply({ target, payload }: Envelope, slot: number): SendResult {
    const isOurs = target.incarnation === self.incarnation && kernel.asks.settle(slot, payload)
    if (!isOurs)
      inspector.emit({ type: 'dead-letter', target, cause: 'nobody waits for this reply' })
    return isOurs ? 'accepted' : 'stopped'
  }

  function livingAt(address: Address): Cell | undefined {
    const cell = cells.get(address.path)
    if (!cell?.life) return undefined
    const { incarnation: named } = address
    return named === undefined || named === cell.life.incarnation ? cell : undefined
  }

  function receive(envelope: Envelope, from: string): void {
    const { target } = envelope
    if (target.member !== member) {
      return kernel.deadLetter(envelope, `this is ${member}, not ${target.member}`)
    }
    if (target.path === SYSTEM_PATH) return receiveSignal(envelope.payload, from)
    // Whoever the envelope says it is from: the link knows, unless an ask was passed on.
    const asker = kernel.forwarding.askingMember(envelope, from)
    const sender = { ...envelope.sender, member: asker, path: envelope.sender?.path ?? SYSTEM_PATH }
    try {
      const result = route({ ...envelope, sender, payload: decodePayload(envelope) })
      if (result !== 'accepted') refuse(envelope, asker, refusals[result], result)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      kernel.deadLetter(envelope, error.message)
      refuse(envelope, asker, 'refused', error.message)
    }
  }

  function decodePayload({ target, payload }: Envelope): unknown {
    const cell = livingAt(target)
    return cell ? cell.definition.protocol.decode(payload, '', resolve) : payload
  }

  function refuse(
    { slot }: Envelope,
    asker: string,
    failure: 'died' | 'overloaded' | 'refused',
    cause: string,
  ): void {
    if (slot === undefined) return
    if (asker === member) kernel.asks.fail(slot, failure, cause)
    else signal(asker, { type: 'refused', slot, failure, cause })
  }

  function receiveSignal(payload: unknown, from: string): void {
    const { asks, watches } = kernel
    let received: SystemSignal
    try {
      received = SystemSignal.decode(payload, 'signal', resolve)
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error
      const target = { member, path: SYSTEM_PATH }
      return inspector.emit({ type: 'dead-letter', target, cause: error.message })
    }
    switch (received.type) {
      case 'watch':
        return watches.watchFrom(from, received)
      case 'watched':
        return watches.watched(received.id, received.incarnation)
      case 'unwatch':
        return watches.unwatchFrom(from, received.id)
      case 'down': {
        const { type, cause = '' } = received.reason
        const isBare = type === 'stopped' || type === 'never-existed'
        const reason = isBare ? { type } : { type, cause }
        return watches.down(received.id, received.incarnation, reason)
      }
      case 'refused':
        return void asks.fail(received.slot, received.failure, received.cause)
      case 'cancel':
        return remoteAsks.forget(from, received.slot)
      case 'forwarded':
        return kernel.forwarding.forwarded(received, from)
      default:
        return world.membershipSignal(received, from)
    }
  }

  return { route, receive, livingAt }
}

const refusals = { full: 'overloaded', stopped: 'died', unreachable: 'died' } as const
