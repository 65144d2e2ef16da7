// What a behavior may use during one of its lives. After that life, nothing here has an effect.
//
// Its functions are made when they are asked for, so that an author may take them apart (`{ self, ask }`)
// and an idle actor does not hold a dozen of them.
import type { Ref } from '../protocol/address.ts'
import { assert } from '../protocol/assert.ts'
import {
  type ActorDefinition,
  type AnyDefinition,
  type Ask,
  AskError,
  type Context,
  type Log,
  type Outcome,
  type SpawnOptions,
} from './actor.ts'
import { spawnCell } from './cell.ts'
import type { Environment } from './environment.ts'
import { childrenOf, Life } from './lives.ts'
import type { Letter } from './mailbox.ts'
import { beginTrace } from './spans.ts'
import type { Topic } from './topics.ts'

export class LifeContext extends Life implements Context<unknown> {
  get self(): Ref<unknown> {
    return this.kernel.refTo(this.cell.path) as Ref<unknown>
  }

  get environment(): Environment {
    return this.kernel.environment
  }

  get trace(): string {
    return this.kernel.trace()
  }

  get children(): readonly Ref<never>[] {
    return childrenOf(this.cell).map(({ path }) => this.kernel.refTo(path))
  }

  get log(): Log {
    const { kernel, cell } = this
    const log =
      (level: 'info' | 'warn'): Log['info'] =>
      (message, fields = {}) => {
        const trace = kernel.turn.isRunning ? { trace: kernel.trace() } : {}
        kernel.inspector.emit({ type: 'log', level, path: cell.path, ...trace, message, fields })
      }
    return { info: log('info'), warn: log('warn') }
  }

  get spawn(): Context<unknown>['spawn'] {
    return <C, S, M>(definition: ActorDefinition<C, S, M>, config: C, options: SpawnOptions) => {
      assert(this.isCurrent, 'only a living actor spawns')
      const start = { definition: definition as unknown as AnyDefinition, config, options }
      return this.kernel.refTo(spawnCell(this.kernel, this.cell, start).path) as Ref<M>
    }
  }

  get ask(): Ask {
    const ask = (ref: Ref<never>, message: object, { timeoutMs }: { timeoutMs: number }) =>
      this.isCurrent
        ? this.kernel.asks.ask(ref.address, message, { timeoutMs, owner: this })
        : Promise.reject(new AskError('cancelled', 'the asker ended'))
    return ask as unknown as Ask
  }

  get forward(): Context<unknown>['forward'] {
    return (ref, message) =>
      this.isCurrent ? this.kernel.forwarding.forward(ref.address, message) : 'stopped'
  }

  get refuse(): Context<unknown>['refuse'] {
    return (message, failure, cause) => {
      if (!this.isCurrent) return
      this.kernel.forwarding.refuse(this.self.address, message, failure, cause)
    }
  }

  get load(): Context<unknown>['load'] {
    return (ref) => this.kernel.forwarding.load(ref)
  }

  get pipe(): Context<unknown>['pipe'] {
    return <T>(promise: Promise<T>, toMessage: (outcome: Outcome<T>) => unknown): void => {
      if (!this.isCurrent) return
      const { asksMax } = this.kernel.limits
      const belongings = this.own()
      assert(belongings.pipes < asksMax, `an actor awaits at most ${asksMax} outcomes`)
      belongings.pipes += 1
      const trace = this.kernel.trace()
      const settle = (outcome: Outcome<T>): void => {
        belongings.pipes -= 1
        if (this.isCurrent) tellSelf(this, toMessage(outcome), trace)
      }
      promise.then(
        (value) => settle({ ok: true, value }),
        (error: unknown) => settle({ ok: false, error: asError(error) }),
      )
    }
  }

  get span(): Context<unknown>['span'] {
    return (name) => beginTrace(this.kernel, this.cell, name)
  }

  get after(): Context<unknown>['after'] {
    return (ms, message) => startTimer(this, ms, () => tellSelf(this, message))
  }

  get every(): Context<unknown>['every'] {
    return (ms, message) => {
      let cancel = (): void => {}
      const beat = (): void => {
        cancel = startTimer(this, ms, () => {
          beat()
          tellSelf(this, message)
        })
      }
      beat()
      return () => cancel()
    }
  }

  get receiveTimeout(): Context<unknown>['receiveTimeout'] {
    return (ms, message) => {
      if (!this.isCurrent) return
      const belongings = this.own()
      belongings.idle?.cancel()
      belongings.idle = ms === undefined ? undefined : createIdle(this, ms, message)
    }
  }

  get stash(): Context<unknown>['stash'] {
    return () => {
      const { letter } = this
      assert(
        letter !== undefined && !letter.notice,
        'the message of a turn is put aside in that turn',
      )
      const { stash } = this.own()
      if (stash.length >= this.kernel.limits.stashMessagesMax) return 'full'
      stash.push(letter)
      return 'accepted'
    }
  }

  get unstash(): Context<unknown>['unstash'] {
    return () => {
      const { belongings, cell, kernel } = this
      if (!this.isCurrent || !belongings) return
      for (const letter of belongings.stash.toReversed()) cell.mailbox.putBack(letter)
      belongings.stash = []
      kernel.schedule(cell)
    }
  }

  get watch(): Context<unknown>['watch'] {
    return (ref) => {
      if (this.isCurrent) this.kernel.watches.watch(this, ref)
    }
  }

  get unwatch(): Context<unknown>['unwatch'] {
    return (ref) => this.kernel.watches.unwatch(this, ref)
  }

  get stop(): Context<unknown>['stop'] {
    return (child) => this.kernel.stopAt(this.below(child))
  }

  get drain(): Context<unknown>['drain'] {
    return (child) => this.kernel.drainAt(this.below(child))
  }

  get subscribe(): Context<unknown>['subscribe'] {
    return <Event>(topic: Topic<Event>, toMessage: (event: Event) => unknown) => {
      if (!this.isCurrent) return () => {}
      const { ends } = this.own()
      const self = this.self
      const end = this.kernel.topics.subscribe(
        topic,
        (event: Event) => self.tell(toMessage(event)) === 'accepted',
      )
      const cancel = (): void => {
        ends.delete(cancel)
        end()
      }
      ends.add(cancel)
      return cancel
    }
  }

  get publish(): Context<unknown>['publish'] {
    const { topics } = this.kernel
    return (topic, event) => topics.publish(topic, event)
  }

  private below({ address: { path } }: Ref<never>): string {
    const own = this.cell.path
    assert(path === own || path.startsWith(`${own}/`), `${path} is below ${own}`)
    return path
  }
}

function tellSelf(life: Life, payload: unknown, trace?: string): Letter {
  const target = { member: life.kernel.asks.self.member, path: life.cell.path }
  const letter: Letter = { target, lane: 'message', trace, payload }
  life.insist(letter)
  return letter
}

/** Cancelled with the life. */
function startTimer(life: Life, ms: number, run: () => void): () => void {
  if (!life.isCurrent) return () => {}
  const { timersMax } = life.kernel.limits
  const belongings = life.own()
  assert(belongings.timers < timersMax, `an actor has at most ${timersMax} timers`)
  belongings.timers += 1
  const stopClock = life.kernel.environment.clock.after(ms, () => {
    end()
    run()
  })
  const end = (): void => {
    if (!belongings.ends.delete(cancel)) return
    belongings.timers -= 1
  }
  const cancel = (): void => {
    end()
    stopClock()
  }
  belongings.ends.add(cancel)
  return cancel
}

/** One timer, which on expiry waits for the rest of the time since the last message. */
function createIdle(life: Life, ms: number, message: unknown): { heard(): void; cancel(): void } {
  const { clock } = life.kernel.environment
  let heardAt = clock.now()
  let own: Letter | undefined
  let cancel = startTimer(life, ms, check)

  function check(): void {
    const restMs = ms - (clock.now() - heardAt)
    if (restMs <= 0) {
      heardAt = clock.now()
      own = tellSelf(life, message)
    }
    cancel = startTimer(life, restMs <= 0 ? ms : restMs, check)
  }

  return {
    heard() {
      // Its own message is no news.
      if (life.letter !== own) heardAt = clock.now()
    },
    cancel: () => cancel(),
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
