// A member as others see it: its actors, links, counts, and what happened lately.
import type { MemberLog, MemberLogPart } from './member-log.ts'
import type { ActorStatus, LinkStatus, Metrics, System } from './system.ts'

export interface MemberReport {
  readonly member: string
  readonly incarnation: number
  readonly processId?: number
  /** Resident memory of its process. */
  readonly memoryBytes?: number
  readonly actors: readonly ActorStatus[]
  readonly links: readonly LinkStatus[]
  readonly metrics: Metrics
  readonly log: MemberLogPart
}

export function reportOf(system: System, log: MemberLog, after: number): MemberReport {
  const { member, incarnation, environment } = system
  const usage = environment.processes.usage?.()
  return {
    member,
    incarnation,
    ...(usage && { processId: usage.processId, memoryBytes: usage.memoryBytes }),
    actors: system.actors(),
    links: system.links(),
    metrics: system.metrics(),
    log: log.since(after),
  }
}
