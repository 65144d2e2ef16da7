import type { Address, Ref, SendResult } from '../protocol/address.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Limits } from '../protocol/limits.ts'
import type { ActorDefinition, AnyDefinition, Ask, SpawnOptions } from './actor.ts'
import type { Environment } from './environment.ts'
import type { Listener } from './inspect.ts'

export interface SystemOptions {
  readonly environment: Environment
  /** Name of this process in the cluster. */
  readonly member: string
  /** The n-th life of this member: a successor has a higher one. Default 1. */
  readonly incarnation?: number
  /** Kinds that may be spawned from another member (`spawnOn`, the pool). */
  readonly definitions?: readonly AnyDefinition[]
  /** Shared secret of the cluster; a peer with another one is refused. Default ''. */
  readonly token?: string
  readonly limits?: Partial<Limits>
  /** A root actor that keeps crashing: nobody above it can decide. */
  readonly onEscalated?: (cause: string) => void
}

export interface ListenAddress {
  readonly hostname?: string
  readonly port?: number
}

export interface MemberEntry {
  readonly member: string
  readonly incarnation: number
  /** Absent where the member does not listen. */
  readonly url?: string
}

export interface ActorStatus {
  readonly path: string
  readonly kind: string
  readonly incarnation: number
  readonly mailboxMessages: number
  readonly restarts: number
  readonly lastCrash?: string
}

export interface System {
  readonly member: string
  readonly incarnation: number
  readonly environment: Environment
  readonly token: string
  readonly limits: Limits
  /** Present once `listen` has resolved. */
  readonly url: string | undefined
  /** Starts a root actor now; throws what its `start` throws (as `StartError`). */
  spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M>
  /** Starts an actor on another member, by its kind; a failing start rejects with `StartError`. */
  spawnOn<C, S, M>(
    member: string,
    definition: ActorDefinition<C, S, M>,
    config: C,
    options: SpawnOptions & { readonly timeoutMs?: number },
  ): Promise<Ref<M>>
  ref<M>(address: Address): Ref<M>
  ask: Ask
  /** Stops an actor of this member and its children; 'stopped' when there is none. */
  stopActor(ref: Ref<never>): SendResult
  /** Every envelope passes here. */
  route(envelope: Envelope): SendResult
  inspect(listener: Listener): () => void
  actors(): readonly ActorStatus[]
  members(): readonly MemberEntry[]
  /** Accepts peers; resolves to the URL, also when called again. Default: loopback, a free port. */
  listen(options?: ListenAddress): Promise<string>
  /** Dials the control member and resolves when it has sent the directory. */
  join(controlUrl: string): Promise<void>
  /** Called where the death of a member is known, e.g. because its process has exited. */
  markLost(member: string, incarnation: number, cause: string): void
  /** Resolves when every mailbox is empty and every peer has acknowledged, or after `timeoutMs`. */
  drain(timeoutMs: number): Promise<void>
  /** Stops every actor, newest first, says goodbye to every peer and closes the listener. */
  stop(): void
}

export declare function createSystem(options: SystemOptions): System
