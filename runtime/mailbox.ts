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
}

export interface Mailbox {
  readonly messages: number
  readonly isEmpty: boolean
  /** False where the mailbox is full: the sender is told. */
  push(letter: Letter): boolean
  /**
   * For what the actor itself asked for (timers, outcomes, Downs): these have limits of their own and
   * are never refused. A Down waits in line behind the messages that came before it.
   */
  insist(letter: Letter): void
  signal(letter: Letter): void
  take(): Letter | undefined
}

export function createMailbox(messagesMax: number): Mailbox {
  const signals = new Ring<Letter>()
  const messages = new Ring<Letter>()
  return {
    get messages() {
      return messages.length
    },
    get isEmpty() {
      return signals.length === 0 && messages.length === 0
    },
    push(letter) {
      if (messages.length >= messagesMax) return false
      messages.push(letter)
      return true
    },
    insist: (letter) => messages.push(letter),
    signal: (letter) => signals.push(letter),
    take: () => signals.take() ?? messages.take(),
  }
}

/** A queue over one array whose length is a power of two; grows, and forgets what was taken. */
export class Ring<T> {
  #slots: (T | undefined)[] = new Array(8)
  #head = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === this.#slots.length) this.#grow()
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item
    this.#length += 1
  }

  peek(index = 0): T | undefined {
    assert(index >= 0, 'an index into the ring')
    if (index >= this.#length) return undefined
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)]
  }

  take(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#slots[this.#head]
    this.#slots[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#slots.length - 1)
    this.#length -= 1
    return item
  }

  #grow(): void {
    const slots = this.#slots
    const grown: (T | undefined)[] = new Array(slots.length * 2)
    for (let i = 0; i < this.#length; i++) grown[i] = slots[(this.#head + i) & (slots.length - 1)]
    this.#slots = grown
    this.#head = 0
  }
}
