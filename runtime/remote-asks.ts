// Asks of other members that actors here have received and not yet answered: when the actor dies, their
// askers are told at once.
import type { Address } from '../protocol/address.ts'
import type { Life } from './lives.ts'
import { slotOfPath } from './ref.ts'
import type { SystemSignal } from './signals.ts'

export interface RemoteAsks {
  /** Also where another life of this member had it before: it is this life's from now on. */
  received(member: string, slot: number, life: Life): void
  /** Asks that this life has received and not answered. */
  unanswered(life: Life): number
  /** A reply goes out: the asker needs no other word. */
  answered(target: Address): void
  /** It is no longer this member's to answer. */
  forget(member: string, slot: number): void
  endLife(life: Life, cause: string): void
  memberLost(member: string): void
}

interface RemoteAsk {
  readonly member: string
  readonly slot: number
  readonly life: Life
}

export function createRemoteAsks(
  signal: (member: string, signal: SystemSignal) => boolean,
): RemoteAsks {
  const byMember = new Map<string, Map<number, RemoteAsk>>()
  const byLife = new Map<Life, Set<RemoteAsk>>()

  function forget(member: string, slot: number): void {
    const ask = byMember.get(member)?.get(slot)
    if (!ask) return
    byMember.get(member)?.delete(slot)
    const ofLife = byLife.get(ask.life)
    ofLife?.delete(ask)
    if (ofLife?.size === 0) byLife.delete(ask.life)
  }

  return {
    received(member, slot, life) {
      // It may have been with another life of this member, which has forwarded it.
      forget(member, slot)
      const ask = { member, slot, life }
      const ofMember = byMember.get(member) ?? new Map<number, RemoteAsk>()
      byMember.set(member, ofMember.set(slot, ask))
      const ofLife = byLife.get(life) ?? new Set<RemoteAsk>()
      byLife.set(life, ofLife.add(ask))
    },
    unanswered: (life) => byLife.get(life)?.size ?? 0,
    answered({ member, path }) {
      const slot = slotOfPath(path)
      if (slot !== undefined) forget(member, slot)
    },
    forget,
    endLife(life, cause) {
      const asks = byLife.get(life)
      if (!asks) return
      for (const { member, slot } of [...asks]) {
        forget(member, slot)
        signal(member, {
          type: 'refused',
          slot,
          failure: 'died',
          cause,
          incarnation: life.incarnation,
        })
      }
    },
    memberLost(member) {
      for (const slot of [...(byMember.get(member)?.keys() ?? [])]) forget(member, slot)
      byMember.delete(member)
    },
  }
}
