// What an actor author writes: a definition (kind, protocol, start, receive) and nothing else.
import type { Ref, SendResult } from '../protocol/address.ts'
import { none, type Schema } from '../protocol/schema.ts'
import type { Environment } from './environment.ts'
import type { Span } from './spans.ts'
import type { Backoff, RestartLimit, RestartPolicy, Supervision } from './supervision.ts'
import type { Topic } from './topics.ts'

/** How an actor answers to what it is told: the part of it that `become` exchanges. */
export interface Behavior<State, Message> {
  receive(state: State, message: Message, context: Context<Message>): Next<State, Message>
  /** Deaths of watched actors. Without it a `Down` is ignored. */
  down?(state: State, down: Down, context: Context<Message>): Next<State, Message>
}

/** `Config` crosses the wire when the actor is spawned on another member, so it is plain data. */
export interface ActorDefinition<Config, State, Message> extends Behavior<State, Message> {
  readonly kind: string
  readonly protocol: Schema<Message>
  readonly config: Schema<Config>
  /** Of its children. Default: one-for-one, each child within its own limit. */
  readonly supervision?: Supervision
  /** Every life begins here. What it throws reaches whoever spawned the actor, as a `StartError`. */
  start(config: Config, context: Context<Message>): State
  /** After `start` of every life but the first: how the former one ended. */
  restarted?(state: State, ended: StopReason, context: Context<Message>): State
  /** Last words on stop or crash, before a restart too; may not send asks. */
  stopped?(state: State, reason: StopReason, context: Context<Message>): void
}

/** Any actor's behavior and definition, where their types do not matter. */
export interface AnyBehavior {
  receive(state: unknown, message: unknown, context: Context<unknown>): Next<unknown, never>
  down?(state: unknown, down: Down, context: Context<unknown>): Next<unknown, never>
}

export interface AnyDefinition extends AnyBehavior {
  readonly kind: string
  readonly protocol: Schema<unknown>
  readonly config: Schema<unknown>
  readonly supervision?: Supervision
  start(config: unknown, context: Context<unknown>): unknown
  restarted?(state: unknown, ended: StopReason, context: Context<unknown>): unknown
  stopped?(state: unknown, reason: StopReason, context: Context<unknown>): void
}

/** The same definition, its types inferred from its parts. Without `config` it takes `undefined`. */
export function defineActor<State, Message, Config = undefined>(
  definition: Omit<ActorDefinition<Config, State, Message>, 'config'> & {
    readonly config?: Schema<Config>
  },
): ActorDefinition<Config, State, Message> {
  const { config = none as unknown as Schema<Config> } = definition
  return { ...definition, config }
}

/** What a turn comes to. `Message` is what a behavior that took over understands. */
export type Next<State, Message = unknown> =
  | { readonly type: 'continue'; readonly state: State }
  | { readonly type: 'stop' }
  | Becoming<Message>

/** Its state is of its own kind, known only to itself: see `become`. */
export interface Becoming<in Message> {
  readonly type: 'become'
  readonly state: unknown
  readonly behavior: {
    readonly receive: (state: never, message: Message, context: never) => unknown
  }
}

export function next<State>(state: State): { readonly type: 'continue'; readonly state: State } {
  return { type: 'continue', state }
}

const STOP = { type: 'stop' } as const

export function stop(): { readonly type: 'stop' } {
  return STOP
}

/** From the next message on, `behavior` answers, with a state of its own. A restart undoes it. */
export function become<State, Message>(
  behavior: Behavior<State, Message>,
  state: State,
): Becoming<Message> {
  return { type: 'become', behavior, state }
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

/** What a behavior may use during one life of its actor. After that life nothing here has an effect. */
export interface Context<Message> {
  readonly self: Ref<Message>
  readonly incarnation: number
  readonly environment: Environment
  readonly log: Log
  /** W3C `traceparent` of the cause of this turn; all that the turn sends carries it. */
  readonly trace: string
  readonly children: readonly Ref<never>[]
  spawn<C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions): Ref<M>
  ask: Ask
  /**
   * Passes a message on. An ask stays whole: the reply goes straight to the asker, who is told at once of
   * the death of the new receiver. What is not accepted is still this actor's to answer.
   */
  forward<M>(ref: Ref<M>, message: M): SendResult
  /** Fails the ask that a message carries, by name and at once; a message without one is a dead letter. */
  refuse(message: Message, failure: Refusal, cause: string): void
  /**
   * Of an actor of this member: messages that wait for it plus asks that it has not answered (one that
   * waits counts as both). Undefined where it does not live just now, and on other members.
   */
  load(ref: Ref<never>): number | undefined
  /** Runs a promise beside the mailbox; its outcome comes back as a message to self. */
  pipe<T>(promise: Promise<T>, toMessage: (outcome: Outcome<T>) => Message): void
  /**
   * Begins a trace for work outside of turns, where somebody wants traces, and then for one call in so many;
   * what is sent `within` it carries it. End it when the work is done.
   */
  span(name: string): Span | undefined
  /** Tells self after `ms`; the returned function cancels it, and so does the end of this life. */
  after(ms: number, message: Message): () => void
  /** Tells self every `ms`, the first time after `ms`. */
  every(ms: number, message: Message): () => void
  /** Tells self when no other message has come for `ms`, again and again; `undefined` ends it. */
  receiveTimeout(ms: number | undefined, message?: Message): void
  /** Puts the message of this turn aside; `full` above `stashMessagesMax`. */
  stash(): 'accepted' | 'full'
  /** What was put aside comes next, in its order, before all that waits. */
  unstash(): void
  watch(ref: Ref<never>): void
  /** No `Down` of `ref` comes any more, not even one that waits already. */
  unwatch(ref: Ref<never>): void
  /** Stops a child, or any actor below this one. */
  stop(child: Ref<never>): void
  /** Stops a child when it has handled what waits; from now on it takes no message. */
  drain(child: Ref<never>): void
  /** Events of this member come as messages to self, until this life ends or the function is called. */
  subscribe<Event>(topic: Topic<Event>, toMessage: (event: Event) => Message): () => void
  /** To every subscriber on this member; says how many took it. */
  publish<Event>(topic: Topic<Event>, event: Event): number
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
  /** Between restarts; the first comes at once. Default: 50 ms, doubled up to 5 s. */
  readonly backoff?: Backoff
  /** Its own end may end the parent: see `Supervision.shutDownWith`. Not for permanent ones. */
  readonly significant?: boolean
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
  /** Trying again at once would make it worse. */
  readonly overloaded: boolean
  /** It happened on another member, or on the way there. */
  readonly remote: boolean
  /** Of the life that had taken the ask and died; undefined where none is known. */
  readonly incarnation: number | undefined
  constructor(
    failure: AskFailure,
    detail: string,
    { remote = false, incarnation }: { remote?: boolean; incarnation?: number | undefined } = {},
  ) {
    super(`ask ${failure}: ${detail}`)
    this.failure = failure
    this.retryable = failure !== 'cancelled' && failure !== 'refused'
    this.overloaded = failure === 'overloaded'
    this.remote = remote
    this.incarnation = incarnation
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
