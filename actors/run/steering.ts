// What can be asked of a run under way, and the refusal where its state does not allow it.

/** The reason is one line for people. */
export class NotPossibleError extends Error {
  override readonly name = 'NotPossibleError'
}

export interface Change {
  /** Of the next update; the schedule goes on from there. */
  readonly learningRate?: number
  /** As on the command line: 'downpour', 'ssp:4', ... */
  readonly policy?: string
}

export type Role = 'trainer' | 'shard' | 'lattices' | 'subnetwork'

export interface RunMember {
  readonly name: string
  readonly role: Role
  readonly state: 'starting' | 'ready' | 'waiting' | 'stopping' | 'stopped'
  readonly incarnation: number
  readonly processId: number | undefined
  readonly device: string | undefined
  /** It can be taken out while the run goes on. */
  readonly isRemovable: boolean
}
