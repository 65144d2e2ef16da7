// Who is in the cluster: the life and the address of every member, and which lives are over. A table and
// its rules; who tells whom is `membership.ts`.
import type { Loss, MemberEntry } from '../signals.ts'

export interface Directory {
  /** Those present. */
  readonly entries: readonly MemberEntry[]
  /** Also where the member is absent: it may come back. */
  get(member: string): MemberEntry | undefined
  /** A life that has ended, or that a later one has replaced, never comes back. */
  isOver(member: string, incarnation: number): boolean
  /** A new life of a member replaces, and so ends, its old one. */
  join(entry: MemberEntry): Change
  /** `isFinal` where that life is known to be over; else it may return. */
  lose(loss: Loss, isFinal: boolean): Change
}

/** What has changed; the loss comes before the join. */
export interface Change {
  readonly lost?: Loss
  readonly joined?: MemberEntry
}

export function createDirectory(): Directory {
  const members = new Map<string, MemberEntry & { readonly isAbsent: boolean }>()
  /** Member -> the highest incarnation that is over. */
  const over = new Map<string, number>()
  const isOver = (member: string, incarnation: number): boolean =>
    incarnation <= (over.get(member) ?? -1)
  const close = (member: string, incarnation: number): void =>
    void over.set(member, Math.max(incarnation, over.get(member) ?? -1))

  return {
    get entries() {
      return [...members.values()].filter(({ isAbsent }) => !isAbsent).map(plainEntry)
    },
    get(member) {
      const known = members.get(member)
      return known && plainEntry(known)
    },
    isOver,
    join(entry) {
      const { member, incarnation } = entry
      if (isOver(member, incarnation)) return {}
      const known = members.get(member)
      // What it has to offer is this life's, not a former one's.
      const { resources: _, ...place } = known ?? {}
      members.set(member, { ...place, ...entry, isAbsent: false })
      close(member, incarnation - 1)
      if (!known || known.isAbsent) return { joined: entry }
      if (known.incarnation === incarnation) return {}
      const cause = `replaced by incarnation ${incarnation}`
      return { lost: { member, incarnation: known.incarnation, cause }, joined: entry }
    },
    lose(loss, isFinal) {
      const { member, incarnation } = loss
      const known = members.get(member)
      if (isFinal) close(member, incarnation)
      if (!known || known.incarnation > incarnation) return {}
      if (isFinal) members.delete(member)
      else members.set(member, { ...known, isAbsent: true })
      return known.isAbsent ? {} : { lost: { ...loss, incarnation: known.incarnation } }
    },
  }
}

export function plainEntry({ member, incarnation, url, resources }: MemberEntry): MemberEntry {
  return {
    member,
    incarnation,
    ...(url !== undefined && { url }),
    ...(resources !== undefined && { resources }),
  }
}
