// Where an actor fits: pure decisions over what members offer and what is reserved of it.
import type { Resources } from './resources.ts'
import { describeResources } from './resources.ts'

export interface Offer {
  readonly member: string
  readonly resources: Resources
}

export interface Reservation {
  readonly member: string
  readonly needs: Resources
}

export interface MemberUsage extends Offer {
  /** Sum over the actors that are placed there. */
  readonly used: Resources
  readonly actors: number
}

/** spread: the member that is least used afterwards; pack: the fullest that still has room. */
export type PlacementStrategy = 'spread' | 'pack'

/** Ten tenths are one. */
const ROUNDING = 1e-9

/**
 * The member to use, or undefined where nobody has room. Use is that of the scarcest of the needed
 * resources; equals are told apart by their number of actors, then by name.
 */
export function decidePlacement(
  offers: readonly Offer[],
  reservations: Iterable<Reservation>,
  needs: Resources,
  strategy: PlacementStrategy,
): string | undefined {
  const sign = strategy === 'spread' ? 1 : -1
  const fitting = usageOf(offers, reservations).filter((usage) => fits(usage, needs))
  const ranked = fitting.map((usage) => ({ ...usage, use: useAfter(usage, needs) }))
  ranked.sort(
    (a, b) =>
      sign * (a.use - b.use) || sign * (a.actors - b.actors) || (a.member < b.member ? -1 : 1),
  )
  return ranked[0]?.member
}

export function usageOf(
  offers: readonly Offer[],
  reservations: Iterable<Reservation>,
): readonly MemberUsage[] {
  const byMember = new Map<string, { used: Map<string, number>; actors: number }>()
  for (const { member, needs } of reservations) {
    const known = byMember.get(member) ?? { used: new Map<string, number>(), actors: 0 }
    byMember.set(member, known)
    known.actors += 1
    for (const [name, need] of Object.entries(needs)) {
      known.used.set(name, (known.used.get(name) ?? 0) + need)
    }
  }
  return offers.map(({ member, resources }) => {
    const { used, actors = 0 } = byMember.get(member) ?? {}
    return { member, resources, used: Object.fromEntries(used ?? []), actors }
  })
}

/** Nothing fits: says what was needed and who has what. */
export class PlacementError extends Error {
  override readonly name = 'PlacementError'
  readonly needs: Resources
  readonly members: readonly MemberUsage[]
  constructor(actor: string, needs: Resources, members: readonly MemberUsage[], detail = '') {
    const has = members.map((usage) => describeFree(usage, needs)).join('; ') || 'no member'
    super(`nowhere to place ${actor}, which needs ${describeResources(needs)}: ${has}${detail}`)
    this.needs = needs
    this.members = members
  }
}

function fits({ resources, used }: MemberUsage, needs: Resources): boolean {
  return Object.entries(needs).every(
    ([name, need]) => need + (used[name] ?? 0) <= (resources[name] ?? 0) + ROUNDING,
  )
}

function useAfter({ resources, used }: MemberUsage, needs: Resources): number {
  const uses = Object.entries(needs).map(([name, need]) => {
    const has = resources[name] ?? 0
    return has === 0 ? 0 : (need + (used[name] ?? 0)) / has
  })
  return Math.max(0, ...uses)
}

function describeFree({ member, resources, used }: MemberUsage, needs: Resources): string {
  const parts = Object.keys(needs).map((name) => {
    const has = resources[name]
    if (has === undefined) return `no ${name}`
    // Without the dust of adding fractions.
    const free = Number((has - (used[name] ?? 0)).toPrecision(12))
    return `${free} of ${has} ${name} free`
  })
  return `${member} has ${parts.join(', ')}`
}
