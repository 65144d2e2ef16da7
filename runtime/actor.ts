// What an actor author writes: a definition (kind, protocol, start, receive) and nothing else.
import type { Ref, SendResult } from '../protocol/address.ts'
import type { Schema } from '../protocol/schema.ts'
import type { Environment } from './environment.ts'
import type { RestartLimit, RestartPolicy } from './supervision.ts'

/** `Config` crosses the wire when the actor is spawned on another member, so it is plain data. */
export interface ActorDefinition<Config, State, Message> {
  readonly kind: string
  readonly protocol: Schema<Message>
  readonly config: Schema<Config>
  start(config: Config, context: Context<Message>): State
  receive(state: State, message: Message, context: Context<Message>): Next<State>
  /** Deaths of watched actors. Without it a `Down` is ignored. */
  down?(state: State, down: Down, context: Context<Message>): Next<State>
  /** Last words on stop or crash; may not send asks. */
  stopped?(state: State, reason: StopReason, context: Context<Message>): void
}

/** Any actor's definition, where its types do not matter. */
export type AnyDefinition = ActorDefinition<unknown, unknown, unknown>

export type Next<State> =
  | { readonly type: 'continue'; readonly state: State }
  | { readonly type: 'stop' }

export function next<State>(state: State): Next<State> {
  return { type: 'continue', state }
}

export function stop(): Next<never> {
  return { type: 'stop' }
}

export type StopReason =
  | { readonly type: 'stopped' }
  | { readonly type: 'crashed'; readonly cause: string }
  | { readonly type: 'unreachable'; readonly cause: string }
  | { readonly type: 'never-existed' }

/** Exactly one per watch, also when the target was already gone. */
export interface Down {
  readonly ref: Ref<never>
  readonly incarnation: number
  readonly reason: StopReason
}

export interface Context<Message> {
  readonly self: Ref<Message>
  readonly incarnation: number
  readonly environment: Environment
  readonly log: Log
  spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M>
  ask: Ask
  /** Runs a promise beside the mailbox; its outcome comes back as a message to self. */
  pipe<T>(promise: Promise<T>, toMessage: (outcome: Outcome<T>) => Message): void
  /** Tells self after `ms`; cancelled with the actor. */
  after(ms: number, message: Message): () => void
  watch(ref: Ref<never>): void
  /**
   * Passes a message of this actor on. An ask stays whole: the reply goes straight to the asker, and the
   * death of the new receiver is told to the asker at once. Where it is not accepted nothing has
   * happened: the message is still this actor's to answer.
   */
  forward<M>(ref: Ref<M>, message: M): SendResult
  /** Fails the ask that a message carries, by name and at once; a message without one is a dead letter. */
  refuse(message: Message, failure: Refusal, cause: string): void
  /**
   * Of an actor of this member: messages that wait for it plus asks it has not answered (one that waits
   * counts as both). Undefined where it does not live just now, and for actors of other members.
   */
  load(ref: Ref<never>): number | undefined
  /** Stops a child, or any actor of this member this one spawned. */
  stop(child: Ref<never>): void
}

export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly error: Error }

export interface SpawnOptions {
  readonly name: string
  /** Default transient. */
  readonly restart?: RestartPolicy
  /** More crashes escalate to the parent. Default: 5 within 10 s. */
  readonly restartLimit?: RestartLimit
  readonly mailboxMessagesMax?: number
}

/** The messages of M that carry a reply address, without it: what `ask` takes. */
export type Asking<M> = M extends { readonly type: string; readonly replyTo: Ref<infer _R> }
  ? Omit<M, 'replyTo'>
  : never

export type ReplyOf<M, Type> = M extends { readonly type: Type; readonly replyTo: Ref<infer R> }
  ? R
  : never

/** Settles exactly once: the reply, or an `AskError`; at once when the target dies. */
export type Ask = <M extends { readonly type: string }, T extends Asking<M>['type']>(
  ref: Ref<M>,
  message: Extract<Asking<M>, { readonly type: T }>,
  options: AskOptions,
) => Promise<ReplyOf<M, T>>

export interface AskOptions {
  readonly timeoutMs: number
}

/** `refused`: the target's protocol does not know this message. `cancelled`: the asker itself ended. */
export type AskFailure = 'died' | 'unreachable' | 'overloaded' | 'timeout' | 'refused' | 'cancelled'

/** What an actor may say of an ask that it does not answer. */
export type Refusal = Extract<AskFailure, 'died' | 'unreachable' | 'overloaded' | 'refused'>

export class AskError extends Error {
  override readonly name = 'AskError'
  readonly failure: AskFailure
  /** Worth trying again, perhaps against the successor. */
  readonly retryable: boolean
  constructor(failure: AskFailure, detail: string) {
    super(`ask ${failure}: ${detail}`)
    this.failure = failure
    this.retryable = failure !== 'cancelled' && failure !== 'refused'
  }
}

/** The actor's `start` failed, or it could not even be tried. */
export class StartError extends Error {
  override readonly name = 'StartError'
  constructor(actor: string, problem: string, options?: ErrorOptions) {
    super(`${actor} did not start: ${problem}`, options)
  }
}

export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
}

export type { Ref, SendResult }
