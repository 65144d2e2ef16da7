// Many refs as one value with named dimensions. A mesh knows nothing of its members' lives: what a tell
// or an ask finds is what it says, and an ask of a dead member fails at once, never at its deadline.
import { formatAddress, type Ref, type SendResult } from '../../protocol/address.ts'
import type { Random } from '../../protocol/random.ts'
import { type Ask, AskError, type AskFailure, type Asking, type ReplyOf } from '../actor.ts'
import { createHashRing, type HashRing } from './hash-ring.ts'
import {
  type Coordinates,
  checkShape,
  coordinatesOf,
  cut,
  describe,
  indexAt,
  type Remaining,
  type Slice,
} from './shape.ts'

export interface Mesh<Message, Dimension extends string = string> extends Iterable<Ref<Message>> {
  readonly size: number
  readonly shape: { readonly [D in Dimension]: number }
  /** In the order of the shape, the last dimension fastest. */
  readonly refs: readonly Ref<Message>[]
  entries(): readonly MeshEntry<Message, Dimension>[]
  /** Throws `RangeError` with the legal range. */
  at(coordinates: Coordinates<Dimension>): Ref<Message>
  /** A part of the mesh: a number takes its dimension away, a range shortens it. Throws `RangeError`. */
  slice<const S extends Slice<Dimension>>(where: S): Mesh<Message, Remaining<Dimension, S>>
  /** One by chance; or, for a key, always the same one of this mesh. Throws `RangeError` where empty. */
  choose(by: Random | string): Ref<Message>
  /** Tells everyone, at most once each; says how many of the tells had which answer. */
  tell(message: Message): Tally
  /**
   * Asks everyone. What the result is, and when it is one, `settle` says; `MeshError` where it cannot be.
   * Nobody's ask is ever withdrawn: those still awaited when a result is known go on to their end.
   */
  ask<T extends AskedType<Message>, const S extends Settle>(
    asker: { readonly ask: Ask },
    message: Extract<Asking<Message>, { readonly type: T }>,
    options: { readonly timeoutMs: number; readonly settle: S },
  ): Promise<Settled<S, ReplyOf<Message, T>>>
}

type AskedType<Message> = Asking<Message> extends { readonly type: infer T } ? T : never

export interface MeshEntry<Message, Dimension extends string = string> {
  readonly at: Coordinates<Dimension>
  readonly ref: Ref<Message>
}

/** How many tells were answered so. */
export type Tally = Readonly<Record<SendResult, number>>

/**
 * `all`: every reply, in the order of the mesh; the first failure rejects, at once. `each`: every outcome,
 * in the order of the mesh; never rejects. `atLeast` n: the first n replies, in the order they came;
 * rejects as soon as n have become impossible.
 */
export type Settle = 'all' | 'each' | { readonly atLeast: number }

export type Settled<S extends Settle, Reply> = S extends 'all'
  ? readonly Reply[]
  : S extends 'each'
    ? readonly MeshOutcome<Reply>[]
    : readonly MeshReply<Reply>[]

interface Place {
  readonly ref: Ref<never>
  readonly at: Readonly<Record<string, number>>
}

export type MeshReply<Reply> = Place & { readonly ok: true; readonly value: Reply }
export type MeshFailure = Place & { readonly ok: false; readonly error: Error }
export type MeshOutcome<Reply> = MeshReply<Reply> | MeshFailure

/** An ask of a mesh that has become impossible; names the member whose failure made it so. */
export class MeshError extends Error {
  override readonly name = 'MeshError'
  readonly ref: Ref<never>
  readonly at: Readonly<Record<string, number>>
  readonly failure: AskFailure
  /** Worth trying again: so is the ask that failed. */
  readonly retryable: boolean
  /** Every outcome, once the asks that were still awaited have ended too. Never rejects. */
  readonly outcomes: Promise<readonly MeshOutcome<unknown>[]>
  constructor(failed: MeshFailure, counts: string, outcomes: MeshError['outcomes']) {
    const { ref, at, error } = failed
    const who = `${formatAddress(ref.address)} at ${describe(at)}`
    super(`${who}: ${error.message} (${counts})`, { cause: error })
    this.ref = ref
    this.at = at
    this.failure = error instanceof AskError ? error.failure : 'refused'
    this.retryable = error instanceof AskError && error.retryable
    this.outcomes = outcomes
  }
}

export interface MeshOptions<Dimension extends string> {
  /** Default: one dimension, `index`. The product of the extents is the number of refs. */
  readonly shape: { readonly [D in Dimension]: number }
}

/** Throws `RangeError` where the shape does not fit the refs. */
export function mesh<Message, Dimension extends string = 'index'>(
  refs: readonly Ref<Message>[],
  options?: MeshOptions<Dimension>,
): Mesh<Message, Dimension> {
  const shape = options?.shape ?? ({ index: refs.length } as { readonly [D in Dimension]: number })
  checkShape(shape, refs.length)
  const places = coordinatesOf(shape) as Coordinates<Dimension>[]
  const entries = refs.map((ref, index) => ({ ref, at: places[index]! }))
  let ring: HashRing | undefined

  return {
    size: refs.length,
    shape,
    refs,
    entries: () => entries,
    [Symbol.iterator]: () => refs[Symbol.iterator](),
    at: (coordinates) => refs[indexAt(shape, coordinates)]!,
    slice<const S extends Slice<Dimension>>(where: S) {
      const part = cut(shape, where)
      type Rest = Remaining<Dimension, S>
      return mesh<Message, Rest>(
        part.indices.map((index) => refs[index]!),
        { shape: part.shape as { readonly [D in Rest]: number } },
      )
    },
    choose(by) {
      if (refs.length === 0) throw new RangeError('an empty mesh has none to choose')
      if (typeof by !== 'string') return refs[by.below(refs.length)]!
      ring ??= createHashRing(refs.map(({ address }) => formatAddress(address)))
      return refs[ring.ownerOf(by)]!
    },
    tell(message) {
      const tally = { accepted: 0, full: 0, stopped: 0, unreachable: 0 }
      for (const ref of refs) tally[ref.tell(message)] += 1
      return tally
    },
    ask: ((asker: { readonly ask: Ask }, message: object, options: AskMeshOptions) =>
      askMesh(asker, entries as readonly Place[], message, options)) as unknown as Mesh<
      Message,
      Dimension
    >['ask'],
  }
}

interface AskMeshOptions {
  readonly timeoutMs: number
  readonly settle: Settle
}

type LooseAsk = (
  ref: Ref<never>,
  message: object,
  options: { readonly timeoutMs: number },
) => Promise<unknown>

async function askMesh(
  asker: { readonly ask: Ask },
  places: readonly Place[],
  message: object,
  { timeoutMs, settle }: AskMeshOptions,
): Promise<unknown> {
  const { size, needed } = { size: places.length, needed: neededOf(settle, places.length) }
  if (!Number.isSafeInteger(needed) || needed < Math.min(size, 1) || needed > size) {
    throw new RangeError(`atLeast: ${needed}, legal is 1 to ${size}`)
  }
  const ask = asker.ask as unknown as LooseAsk
  const asked = places.map(
    ({ ref, at }): Promise<MeshOutcome<unknown>> =>
      ask(ref, message, { timeoutMs }).then(
        (value) => ({ ok: true, ref, at, value }),
        (error: unknown) => ({ ok: false, ref, at, error: error as Error }),
      ),
  )
  if (settle === 'each') return Promise.all(asked)
  const replies = await gather(asked, needed)
  if (settle !== 'all') return replies
  const outcomes = await Promise.all(asked)
  return outcomes.map((outcome) => outcome.ok && outcome.value)
}

function neededOf(settle: Settle, size: number): number {
  return typeof settle === 'object' ? settle.atLeast : size
}

/** The first `needed` replies, or the failure after which so many cannot come. */
function gather(
  asked: readonly Promise<MeshOutcome<unknown>>[],
  needed: number,
): Promise<readonly MeshReply<unknown>[]> {
  const { promise, resolve, reject } = Promise.withResolvers<readonly MeshReply<unknown>[]>()
  const replies: MeshReply<unknown>[] = []
  let failures = 0
  if (needed === 0) resolve(replies)
  const note = (outcome: MeshOutcome<unknown>): void => {
    if (outcome.ok) {
      if (replies.length < needed) replies.push(outcome)
      if (replies.length === needed) resolve(replies)
      return
    }
    failures += 1
    // Once, when it has just become impossible.
    if (asked.length - failures !== needed - 1) return
    const open = asked.length - failures - replies.length
    const counts = `${replies.length} of ${needed} replies needed, ${open} still awaited`
    reject(new MeshError(outcome, counts, Promise.all(asked)))
  }
  for (const outcome of asked) void outcome.then(note)
  return promise
}
