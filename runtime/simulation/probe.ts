// A ref that a test holds: it keeps what it is told, and the test says what it expects. Waiting is virtual
// time, so an expectation that fails does so at once.
import { inspect } from 'node:util'
import type { Address, Ref, SendResult } from '../../protocol/address.ts'
import { formatAddress } from '../../protocol/address.ts'
import { assert } from '../../protocol/assert.ts'
import { plain, type Schema } from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, type Down, next } from '../actor.ts'
import type { System } from '../system.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** A message type, or a condition. */
export type Expected<M> = TypeOf<M> | ((message: M) => boolean)
type TypeOf<M> = M extends { readonly type: infer T extends string } ? T : never

export interface Probe<M> extends Ref<M> {
  /** All that it has been told, oldest first. */
  readonly received: readonly M[]
  /**
   * The next message: it must come within `withinMs` (default 1,000) and be of this type, or fulfil this
   * condition. Throws `ExpectationError`, which says what came instead.
   */
  expect<T extends TypeOf<M>>(type: T, withinMs?: number): Promise<Extract<M, { type: T }>>
  expect(condition: (message: M) => boolean, withinMs?: number): Promise<M>
  /** The same, but other messages may come before: they are passed over. */
  expectEventually<T extends TypeOf<M>>(
    type: T,
    withinMs?: number,
  ): Promise<Extract<M, { type: T }>>
  expectEventually(condition: (message: M) => boolean, withinMs?: number): Promise<M>
  /** No message is left unexpected, and none comes within `withinMs` (default 100). */
  expectNothing(withinMs?: number): Promise<void>
  /** Answers the message that was expected last, by its `replyTo`. */
  reply(answer: unknown): SendResult
  watch(ref: Ref<never>): void
  /** The next death of a watched actor, or of this one. */
  expectDown(ref?: Ref<never>, withinMs?: number): Promise<Down>
}

export class ExpectationError extends Error {
  override readonly name = 'ExpectationError'
}

const EXPECT_MS = 1_000
const NOTHING_MS = 100
const RECEIVED_MAX = 100_000
const SHOWN_MAX = 10

interface Heard<M> {
  readonly atMs: number
  readonly message: M
}

interface Ears<M> {
  readonly messages: Heard<M>[]
  readonly downs: Down[]
  context: Context<M> | undefined
}

export function createProbe<M>(
  clock: VirtualClock,
  system: System,
  options: { readonly name: string; readonly protocol?: Schema<M> | undefined },
): Probe<M> {
  const ears: Ears<M> = { messages: [], downs: [], context: undefined }
  const protocol = options.protocol ?? (plain as Schema<M>)
  const { name } = options
  const ref = system.spawn(probeActor(protocol), ears, { name, mailboxMessagesMax: RECEIVED_MAX })
  /** How many messages and Downs have been expected. */
  let taken = 0
  let downsTaken = 0
  let last: M | undefined

  async function next(expected: string, withinMs: number): Promise<Heard<M>> {
    await clock.advanceUntil(() => ears.messages.length > taken, withinMs)
    const heard = ears.messages[taken]
    if (!heard)
      throw new ExpectationError(
        `${name} expected ${expected} within ${withinMs} ms, but nothing came`,
      )
    return heard
  }

  async function expectNext(expected: Expected<M>, withinMs = EXPECT_MS): Promise<M> {
    const { message } = await next(describe(expected), withinMs)
    if (!isExpected(message, expected)) {
      throw new ExpectationError(
        `${name} expected ${describe(expected)}, but this came:${list(ears.messages.slice(taken))}`,
      )
    }
    taken += 1
    last = message
    return message
  }

  async function expectEventually(expected: Expected<M>, withinMs = EXPECT_MS): Promise<M> {
    const from = taken
    const find = (): number =>
      ears.messages.findIndex(({ message }, at) => at >= from && isExpected(message, expected))
    await clock.advanceUntil(() => find() >= 0, withinMs)
    const at = find()
    const heard = ears.messages[at]
    if (!heard) {
      const others = ears.messages.slice(from)
      const instead = others.length > 0 ? `only this came:${list(others)}` : 'nothing came'
      throw new ExpectationError(
        `${name} expected ${describe(expected)} within ${withinMs} ms, but ${instead}`,
      )
    }
    taken = at + 1
    last = heard.message
    return heard.message
  }

  return {
    address: ref.address,
    tell: (message) => ref.tell(message),
    get received() {
      return ears.messages.map(({ message }) => message)
    },
    expect: expectNext as Probe<M>['expect'],
    expectEventually: expectEventually as Probe<M>['expectEventually'],
    async expectNothing(withinMs = NOTHING_MS) {
      await clock.advanceUntil(() => ears.messages.length > taken, withinMs)
      const heard = ears.messages.slice(taken)
      if (heard.length > 0) {
        throw new ExpectationError(`${name} expected nothing, but this came:${list(heard)}`)
      }
    },
    reply(answer) {
      const replyTo = (last as { readonly replyTo?: Ref<unknown> } | undefined)?.replyTo
      if (!replyTo) {
        throw new ExpectationError(`${name} has expected no message with a replyTo yet`)
      }
      return replyTo.tell(answer)
    },
    watch(target) {
      ears.context?.watch(target)
    },
    async expectDown(target, withinMs = EXPECT_MS) {
      const find = (): number =>
        ears.downs.findIndex(
          (down, at) => at >= downsTaken && (!target || isSame(down.ref.address, target.address)),
        )
      await clock.advanceUntil(() => find() >= 0, withinMs)
      const at = find()
      const down = ears.downs[at]
      if (!down) {
        const who = target ? formatAddress(target.address) : 'a watched actor'
        throw new ExpectationError(
          `${name} expected the end of ${who} within ${withinMs} ms, but it lives on`,
        )
      }
      ears.downs.splice(at, 1)
      ears.downs.splice(downsTaken++, 0, down)
      return down
    },
  }
}

function probeActor<M>(protocol: Schema<M>): ActorDefinition<Ears<M>, Ears<M>, M> {
  return {
    kind: 'probe',
    protocol,
    config: { decode: (value) => value as Ears<M> },
    start(ears, context) {
      ears.context = context
      return ears
    },
    receive(ears, message, { environment }) {
      assert(ears.messages.length < RECEIVED_MAX, `a probe keeps at most ${RECEIVED_MAX} messages`)
      ears.messages.push({ atMs: environment.clock.now(), message })
      return next(ears)
    },
    down(ears, down) {
      assert(ears.downs.length < RECEIVED_MAX, `a probe keeps at most ${RECEIVED_MAX} deaths`)
      ears.downs.push(down)
      return next(ears)
    },
  }
}

function isExpected<M>(message: M, expected: Expected<M>): boolean {
  if (typeof expected === 'function') return expected(message)
  return (message as { readonly type?: unknown } | null)?.type === expected
}

const isSame = (a: Address, b: Address): boolean => a.member === b.member && a.path === b.path

const describe = <M>(expected: Expected<M>): string =>
  typeof expected === 'function' ? `what fulfils ${expected}` : `'${expected}'`

function list<M>(heard: readonly Heard<M>[]): string {
  const shown = heard.slice(0, SHOWN_MAX).map(({ atMs, message }) => {
    const text = inspect(readable(message), { depth: 3, breakLength: Number.POSITIVE_INFINITY })
    return `\n  at ${Math.round(atMs)} ms ${text.slice(0, 200)}`
  })
  const more = heard.length - shown.length
  return `${shown.join('')}${more > 0 ? `\n  and ${more} more` : ''}`
}

/** Refs as their addresses. */
function readable(message: unknown): unknown {
  if (typeof message !== 'object' || message === null) return message
  const fields = Object.entries(message).map(([key, value]) => {
    const { address } = (value ?? {}) as { readonly address?: Address }
    return [key, address ? formatAddress(address) : value]
  })
  return Array.isArray(message) ? message : Object.fromEntries(fields)
}
