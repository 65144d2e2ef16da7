// Death watch: who is told of whose end. Every watch ends in exactly one Down, whatever happens to the
// target, its member or the link between.

import type { Address, Ref } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import type { Down, StopReason } from './actor.ts'
import type { SystemSignal } from './signals.ts'

/** A life that watches: it is told of Downs until it ends. */
export interface Watcher {
  /** Whom it watches, also those whose Down waits in its mailbox. */
  watching: Map<number, Address> | undefined
  tellDown(down: Down, watch: number): void
}

/** A life that is watched. */
export interface Watched {
  readonly incarnation: number
  watchers: Set<Watch> | undefined
}

export interface Watch {
  readonly end: (incarnation: number, reason: StopReason) => void
}

export interface Watches {
  watch(watcher: Watcher, ref: Ref<never>): void
  /** Every watch of this watcher on `ref`. */
  unwatch(watcher: Watcher, ref: Ref<never>): void
  /** The watcher's life is over: it is told no more. */
  endWatcher(watcher: Watcher): void
  /** The watched life is over. */
  endWatched(watched: Watched, reason: StopReason): void
  /** Signals of other members. */
  watchFrom(member: string, signal: Signal<'watch'>): void
  unwatchFrom(member: string, id: number): void
  watched(id: number, incarnation: number): void
  down(id: number, incarnation: number, reason: StopReason): void
  memberLost(member: string, cause: string): void
}

type Signal<Type> = Extract<SystemSignal, { readonly type: Type }>

export interface WatchWorld {
  readonly member: string
  readonly watchesMax: number
  /** The running life at a path of this member, if any. */
  readonly find: (path: string, incarnation: number | undefined) => Watched | undefined
  /** False where the member cannot be reached. */
  readonly signal: (member: string, signal: SystemSignal) => boolean
}

interface Outgoing {
  readonly watcher: Watcher
  readonly ref: Ref<never>
  readonly member: string
  /** 0 until the target has said which life is watched. */
  incarnation: number
  readonly unwatch: () => void
}

export function createWatches(world: WatchWorld): Watches {
  const outgoing = new Map<number, Outgoing>()
  /** Watches of other members on actors here: member -> id -> how to forget it. */
  const incoming = new Map<string, Map<number, () => void>>()
  let lastId = 0

  function settle(id: number, incarnation: number, reason: StopReason): void {
    const watch = outgoing.get(id)
    if (!watch) return
    outgoing.delete(id)
    const { ref } = watch
    watch.watcher.tellDown({ ref, incarnation: incarnation || watch.incarnation, reason }, id)
  }

  function watchLocal(id: number, address: Address): () => void {
    const target = world.find(address.path, address.incarnation)
    if (!target) {
      settleLater(id, address.incarnation ?? 0, { type: 'never-existed' })
      return () => {}
    }
    const watch: Watch = { end: (incarnation, reason) => settle(id, incarnation, reason) }
    return addTo(target, watch)
  }

  function watchRemote(id: number, { member, path, incarnation }: Address): () => void {
    const life = incarnation === undefined ? {} : { incarnation }
    if (!world.signal(member, { type: 'watch', id, path, ...life })) {
      settleLater(id, incarnation ?? 0, { type: 'unreachable', cause: `${member} is not known` })
    }
    return () => void world.signal(member, { type: 'unwatch', id })
  }

  // Never inside `watch` itself: the watcher's turn is not over.
  function settleLater(id: number, incarnation: number, reason: StopReason): void {
    queueMicrotask(() => settle(id, incarnation, reason))
  }

  function callOff(watcher: Watcher, id: number): void {
    watcher.watching?.delete(id)
    outgoing.get(id)?.unwatch()
    outgoing.delete(id)
  }

  function forgetIncoming(member: string, id: number): void {
    incoming.get(member)?.get(id)?.()
    incoming.get(member)?.delete(id)
  }

  return {
    watch(watcher, ref) {
      const { watchesMax } = world
      watcher.watching ??= new Map()
      const { watching } = watcher
      assert(watching.size < watchesMax, `an actor watches at most ${watchesMax} others`)
      const id = ++lastId
      const { address } = ref
      const { member } = address
      watching.set(id, address)
      const watch = { watcher, ref, member, incarnation: address.incarnation ?? 0 }
      const unwatch = member === world.member ? watchLocal(id, address) : watchRemote(id, address)
      outgoing.set(id, { ...watch, unwatch })
    },
    unwatch(watcher, { address: { member, path } }) {
      for (const [id, address] of watcher.watching ?? []) {
        if (address.member === member && address.path === path) callOff(watcher, id)
      }
    },
    endWatcher(watcher) {
      for (const id of watcher.watching?.keys() ?? []) callOff(watcher, id)
    },
    endWatched(watched, reason) {
      const { incarnation, watchers } = watched
      if (!watchers) return
      const told = [...watchers]
      watched.watchers = undefined
      for (const watch of told) watch.end(incarnation, reason)
    },
    watchFrom(member, { id, path, incarnation }) {
      const target = world.find(path, incarnation)
      if (!target) {
        const reason = { type: 'never-existed' } as const
        world.signal(member, { type: 'down', id, incarnation: incarnation ?? 0, reason })
        return
      }
      const watch: Watch = {
        end(ended, reason) {
          incoming.get(member)?.delete(id)
          world.signal(member, { type: 'down', id, incarnation: ended, reason })
        },
      }
      const ofMember = incoming.get(member) ?? new Map<number, () => void>()
      incoming.set(member, ofMember.set(id, addTo(target, watch)))
      world.signal(member, { type: 'watched', id, incarnation: target.incarnation })
    },
    unwatchFrom: forgetIncoming,
    watched(id, incarnation) {
      const watch = outgoing.get(id)
      if (watch) watch.incarnation = incarnation
    },
    down: settle,
    memberLost(member, cause) {
      for (const [id, watch] of [...outgoing]) {
        if (watch.member === member) settle(id, 0, { type: 'unreachable', cause })
      }
      for (const id of [...(incoming.get(member)?.keys() ?? [])]) forgetIncoming(member, id)
      incoming.delete(member)
    },
  }
}

/** The returned function takes the watch back. */
function addTo(target: Watched, watch: Watch): () => void {
  target.watchers ??= new Set()
  target.watchers.add(watch)
  return () => target.watchers?.delete(watch)
}
