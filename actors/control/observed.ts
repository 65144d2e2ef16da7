// Members and actors as they are shown: from what the observer last heard of each member.
import type { Actor, Link, Member, Members, Role } from '../../protocol/control.ts'
import type { MemberStatus } from '../../runtime/index.ts'

export interface Observed {
  take(statuses: readonly MemberStatus[]): void
  readonly members: Members['members']
  /** In order of their paths. */
  readonly actors: readonly Actor[]
}

interface Seen {
  readonly incarnation: number
  readonly seenAt: number
  readonly links: Link[]
}

export function createObserved(): Observed {
  let seen = new Map<string, Seen>()
  let heard: readonly MemberStatus[] = []
  let members: Member[] = []
  let actors: Actor[] | undefined

  return {
    take(statuses) {
      if (isSame(heard, statuses)) return
      heard = statuses
      seen = new Map(statuses.map((status) => [status.member, linksOf(status, seen)]))
      members = statuses.map((status) => memberOf(status, seen.get(status.member)?.links ?? []))
      actors = undefined
    },
    get members() {
      return members
    },
    get actors() {
      actors ??= heard.flatMap(actorsOf).sort((a, b) => (a.path < b.path ? -1 : 1))
      return actors
    },
  }
}

function isSame(before: readonly MemberStatus[], now: readonly MemberStatus[]): boolean {
  return before.length === now.length && before.every((status, index) => status === now[index])
}

/** Rates come from two looks at the totals; a member that was not heard again keeps its own. */
function linksOf(status: MemberStatus, seen: ReadonlyMap<string, Seen>): Seen {
  const { member, incarnation, seenAt } = status
  const last = seen.get(member)
  const before = last?.incarnation === incarnation ? last : undefined
  if (before && seenAt === before.seenAt) return before
  const seconds = before ? (seenAt - before.seenAt) / 1_000 : 0
  const rate = (now: number, then: number | undefined): number =>
    then === undefined || seconds <= 0 ? 0 : Math.max(0, Math.round((now - then) / seconds))
  const links = status.links.map((link): Link => {
    const then = before?.links.find(({ to }) => to === link.member)
    const { isConnected, queueBytes, sentBytes, receivedBytes } = link
    return {
      to: link.member,
      isConnected,
      queueBytes,
      sentBytes,
      receivedBytes,
      sentBytesPerSecond: rate(sentBytes, then?.sentBytes),
      receivedBytesPerSecond: rate(receivedBytes, then?.receivedBytes),
    }
  })
  return { incarnation, seenAt, links }
}

function memberOf(status: MemberStatus, links: Link[]): Member {
  const { member, incarnation, isStale, seenAt, processId, memoryBytes, actors, metrics } = status
  return {
    name: member,
    role: roleOf(member),
    incarnation,
    isStale,
    seenAt: Math.round(seenAt),
    ...(processId !== undefined && { processId }),
    ...(memoryBytes !== undefined && { memoryBytes }),
    actors: actors.length,
    mailboxMessages: actors.reduce((sum, { mailboxMessages }) => sum + mailboxMessages, 0),
    turns: metrics?.turns ?? 0,
    links,
  }
}

function actorsOf({ member, actors, isStale }: MemberStatus): Actor[] {
  return actors.map((actor) => ({
    path: `${member}${actor.path}`,
    member,
    kind: actor.kind,
    incarnation: actor.incarnation,
    mailboxMessages: actor.mailboxMessages,
    restarts: actor.restarts,
    restart: actor.restart,
    ...(actor.lastCrash !== undefined && { lastCrash: actor.lastCrash }),
    isStale,
  }))
}

export function roleOf(member: string): Role {
  const role = member.replace(/-.*$/, '')
  switch (role) {
    case 'control':
    case 'trainer':
    case 'shard':
    case 'lattices':
    case 'subnetwork':
      return role
    default:
      return 'other'
  }
}
