// What waits for an actor: two ring buffers, signals before messages, both bounded.
import { assert } from '../protocol/assert.ts'
import type { Envelope } from '../protocol/envelope.ts'
import type { Down } from './actor.ts'

/** `notice` is what the runtime itself tells an actor. */
export type Letter = (Envelope & { readonly notice?: undefined }) | StopNotice | DownNotice

export interface StopNotice {
  readonly notice: 'stop'
}

export interface DownNotice {
  readonly notice: 'down'
  readonly down: Down
  /** Of the watch that this ends: `unwatch` may still call it off. */
  readonly watch: number
}

/**
 * One waiting message needs no memory beside it: of a million actors most are idle. Plain fields, because
 * JavaScriptCore keeps `#private` ones outside of the object.
 */
export class Mailbox {
  private readonly messagesMax: number
  private signals: Ring<Letter> | undefined = undefined
  private first: Letter | undefined = undefined
  /** Behind `first`. */
  private rest: Ring<Letter> | undefined = undefined

  constructor(messagesMax: number) {
    this.messagesMax = messagesMax
  }

  get messages(): number {
    return this.first ? 1 + (this.rest?.length ?? 0) : 0
  }

  /** False where the mailbox is full: the sender is told. */
  push(letter: Letter): boolean {
    if (this.messages >= this.messagesMax) return false
    this.insist(letter)
    return true
  }

  /**
   * For what the actor itself asked for (timers, outcomes, Downs): these have limits of their own and
   * are never refused. A Down waits in line behind the messages that came before it.
   */
  insist(letter: Letter): void {
    if (!this.first) {
      this.first = letter
    } else {
      this.rest ??= new Ring()
      this.rest.push(letter)
    }
  }

  /** Before all messages that wait; for what was taken from here before. */
  putBack(letter: Letter): void {
    if (this.first) {
      this.rest ??= new Ring()
      this.rest.unshift(this.first)
    }
    this.first = letter
  }

  signal(letter: Letter): void {
    this.signals ??= new Ring()
    this.signals.push(letter)
  }

  take(): Letter | undefined {
    const signal = this.signals?.take()
    if (signal) return signal
    const { first } = this
    if (first) this.first = this.rest?.take()
    return first
  }
}

const SLOTS_MIN = 4
/** A ring that has grown above it gives the memory back once it is empty. */
const SLOTS_KEPT_MAX = 4_096

/** A queue over one array whose length is a power of two; grows, and forgets what was taken. */
export class Ring<T> {
  private slots: (T | undefined)[] = new Array(SLOTS_MIN)
  private head = 0
  private count = 0

  get length(): number {
    return this.count
  }

  push(item: T): void {
    if (this.count === this.slots.length) this.grow()
    this.slots[(this.head + this.count) & (this.slots.length - 1)] = item
    this.count += 1
  }

  unshift(item: T): void {
    if (this.count === this.slots.length) this.grow()
    this.head = (this.head - 1) & (this.slots.length - 1)
    this.slots[this.head] = item
    this.count += 1
  }

  peek(index = 0): T | undefined {
    assert(index >= 0, 'an index into the ring')
    if (index >= this.count) return undefined
    return this.slots[(this.head + index) & (this.slots.length - 1)]
  }

  take(): T | undefined {
    if (this.count === 0) return undefined
    const item = this.slots[this.head]
    this.slots[this.head] = undefined
    this.head = (this.head + 1) & (this.slots.length - 1)
    this.count -= 1
    if (this.count === 0 && this.slots.length > SLOTS_KEPT_MAX) this.shrink()
    return item
  }

  private shrink(): void {
    this.slots = new Array(SLOTS_MIN)
    this.head = 0
  }

  private grow(): void {
    const slots = this.slots
    const grown: (T | undefined)[] = new Array(slots.length * 2)
    for (let i = 0; i < this.count; i++) grown[i] = slots[(this.head + i) & (slots.length - 1)]
    this.slots = grown
    this.head = 0
  }
}
