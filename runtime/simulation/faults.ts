// Faults by actor and step: a definition is wrapped before it is spawned, so that the runtime itself knows
// nothing of faults. Steps count the messages that the actor at a path has taken, over all its lives.
import { assert } from '../../protocol/assert.ts'
import type { AnyDefinition, Context, Next } from '../actor.ts'

export interface FaultOptions {
  /** At the n-th message that this actor takes, counted from 1 over all its lives. Default: the next. */
  readonly atStep?: number
  /** Default: on whichever member comes to it first. */
  readonly member?: string
}

export interface Faults {
  /**
   * The actor crashes `before` it handles the message (default), or `after`: what it has sent is sent, its
   * state is lost.
   */
  crash(path: string, options?: FaultOptions & { readonly when?: 'before' | 'after' }): void
  /** The message is taken and nothing is done about it. */
  drop(path: string, options?: FaultOptions): void
  /** The actor stops instead of handling the message. */
  stop(path: string, options?: FaultOptions): void
  /** This message and all that come after it are handled `ms` later, in their order. */
  delay(path: string, options: FaultOptions & { readonly ms: number }): void
  /** From this message on, this life of the actor handles nothing more. It can still be stopped. */
  hang(path: string, options?: FaultOptions): void
  /** Messages that the actor has taken so far. */
  steps(path: string, member?: string): number
  /** Those that have not happened yet, in words: a test may want none to be left. */
  readonly pending: readonly string[]
  /** Takes back those that have not happened yet. */
  clear(): void
}

export interface FaultInjection {
  readonly faults: Faults
  /** The same actor, subject to the faults; its children too. */
  wrap<D>(definition: D): D
}

export class InjectedFault extends Error {
  override readonly name = 'InjectedFault'
}

const FAULTS_MAX = 10_000
/** Messages that wait for the end of a delay, of one actor. */
const DELAYED_MAX = 10_000

type Kind = 'crash' | 'drop' | 'stop' | 'delay' | 'hang'

interface Fault {
  readonly kind: Kind
  readonly path: string
  readonly member: string | undefined
  readonly atStep: number | undefined
  readonly ms: number
  readonly when: 'before' | 'after'
}

/** What is known of an actor across its lives, and of the present one. */
interface Subject {
  readonly member: string
  readonly path: string
  steps: number
  incarnation: number
  life: Impaired
}

/** Of one life. */
interface Impaired {
  isHung: boolean
  delayedUntil: number
  /** Delayed, oldest first: they come back as messages to self. */
  readonly delayed: unknown[]
}

type AnyContext = Context<unknown>
type AnyNext = Next<unknown, never>
type Handle = (state: unknown, message: unknown, context: AnyContext) => AnyNext

export function createFaults(): FaultInjection {
  const pending = new Set<Fault>()
  const subjects = new Map<string, Subject>()
  const wrapped = new WeakMap<object, AnyDefinition>()
  const contexts = new WeakMap<object, AnyContext>()

  function add(kind: Kind, path: string, options: FaultOptions & Partial<Fault>): void {
    const { atStep, member, ms = 0, when = 'before' } = options
    assert(pending.size < FAULTS_MAX, `at most ${FAULTS_MAX} faults wait`)
    assert(path.startsWith('/'), 'an actor has a path, like /counter')
    for (const subject of subjects.values()) {
      if (subject.path !== path || (member !== undefined && member !== subject.member)) continue
      const isToCome = atStep === undefined || atStep > subject.steps
      assert(isToCome, `${subject.member}${path} has taken ${subject.steps} messages already`)
    }
    pending.add({ kind, path, member, atStep, ms, when })
  }

  /** The actor takes a message: which fault, if any, is due. */
  function take(subject: Subject): Fault | undefined {
    subject.steps += 1
    for (const fault of pending) {
      if (fault.path !== subject.path) continue
      if (fault.member !== undefined && fault.member !== subject.member) continue
      if (fault.atStep !== undefined && fault.atStep !== subject.steps) continue
      pending.delete(fault)
      return fault
    }
    return undefined
  }

  function subjectOf({ self, incarnation }: AnyContext): Subject {
    const { member, path } = self.address
    const key = `${member}${path}`
    const found = subjects.get(key)
    if (found?.incarnation === incarnation) return found
    const life = { isHung: false, delayedUntil: 0, delayed: [] }
    const subject = { member, path, steps: found?.steps ?? 0, incarnation, life }
    subjects.set(key, subject)
    return subject
  }

  function receive(handle: Handle, state: unknown, message: unknown, context: AnyContext): AnyNext {
    const subject = subjectOf(context)
    const { life } = subject
    const isBack = life.delayed.length > 0 && life.delayed[0] === message
    const isLate = isBack && context.environment.clock.now() >= life.delayedUntil
    if (isLate) {
      life.delayed.shift()
      return wrapNext(handle(state, message, wrapContext(context)))
    }
    const fault = take(subject)
    if (fault?.kind === 'hang') life.isHung = true
    if (life.isHung) return { type: 'continue', state }
    if (fault?.kind === 'delay') {
      life.delayedUntil = context.environment.clock.now() + fault.ms
    } else if (life.delayed.length === 0) {
      return suffer(fault, handle, state, message, context)
    }
    assert(life.delayed.length < DELAYED_MAX, `at most ${DELAYED_MAX} messages are delayed`)
    life.delayed.push(message)
    context.after(Math.max(0, life.delayedUntil - context.environment.clock.now()), message)
    return { type: 'continue', state }
  }

  function suffer(
    fault: Fault | undefined,
    handle: Handle,
    state: unknown,
    message: unknown,
    context: AnyContext,
  ): AnyNext {
    switch (fault?.kind) {
      case 'drop':
        return { type: 'continue', state }
      case 'stop':
        return { type: 'stop' }
      case 'crash': {
        const { steps, path } = subjectOf(context)
        if (fault.when === 'after') handle(state, message, wrapContext(context))
        throw new InjectedFault(`${path} at step ${steps}, ${fault.when} handling it`)
      }
      default:
        return wrapNext(handle(state, message, wrapContext(context)))
    }
  }

  /** A behavior that took over is subject to the faults like the one before it. */
  function wrapNext(result: AnyNext): AnyNext {
    const becoming = result as { readonly type: string; readonly behavior?: object }
    if (becoming?.type !== 'become' || !becoming.behavior) return result
    return { ...becoming, behavior: wrap(becoming.behavior) } as never
  }

  function wrapContext(context: AnyContext): AnyContext {
    const found = contexts.get(context)
    if (found) return found
    const spawn: AnyContext['spawn'] = (definition, config, options) =>
      context.spawn(wrap(definition), config, options)
    const created = overriding(context, { spawn })
    contexts.set(context, created)
    return created
  }

  function wrap<D>(definition: D): D {
    const original = definition as AnyDefinition
    const found = wrapped.get(original)
    if (found) return found as D
    const { start, down, restarted, stopped } = original as AnyDefinition & LaterHooks
    const handle: Handle = (state, message, context) => original.receive(state, message, context)
    const created: AnyDefinition = {
      ...original,
      receive: (state, message, context) => receive(handle, state, message, context),
      ...(start && {
        start: (config, context) => start.call(original, config, wrapContext(context)),
      }),
      ...(down && {
        down: (state, gone, context) =>
          subjectOf(context).life.isHung
            ? { type: 'continue', state }
            : wrapNext(down.call(original, state, gone, wrapContext(context))),
      }),
      ...(restarted && {
        restarted: (state: unknown, ended: unknown, context: AnyContext) =>
          restarted.call(original, state, ended, wrapContext(context)),
      }),
      ...(stopped && {
        stopped: (state, reason, context) =>
          stopped.call(original, state, reason, wrapContext(context)),
      }),
    }
    wrapped.set(original, created)
    wrapped.set(created, created)
    return created as D
  }

  const faults: Faults = {
    crash: (path, options = {}) => add('crash', path, options),
    drop: (path, options = {}) => add('drop', path, options),
    stop: (path, options = {}) => add('stop', path, options),
    delay(path, options) {
      assert(options.ms > 0, 'a delay takes time')
      add('delay', path, options)
    },
    hang: (path, options = {}) => add('hang', path, options),
    steps(path, member) {
      const those = [...subjects.values()].filter(
        (subject) => subject.path === path && (member === undefined || member === subject.member),
      )
      return those.reduce((sum, { steps }) => sum + steps, 0)
    },
    get pending() {
      return [...pending].map(describeFault)
    },
    clear: () => pending.clear(),
  }
  return { faults, wrap }
}

/** Of actors whose restart is told to them. */
interface LaterHooks {
  restarted?(state: unknown, ended: unknown, context: AnyContext): never
}

function describeFault({ kind, path, member = 'any member', atStep }: Fault): string {
  return `${kind} of ${path} on ${member} at ${atStep === undefined ? 'the next step' : `step ${atStep}`}`
}

/** The same object to whoever uses it, except for some of its methods. */
export function overriding<T extends object>(target: T, methods: Partial<T>): T {
  return new Proxy({} as T, {
    get(_, key) {
      if (Object.hasOwn(methods, key)) return methods[key as keyof T]
      const value: unknown = Reflect.get(target, key, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
