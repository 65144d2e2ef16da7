// The four workloads on XState 5, twice: as state machines, and as bare transition functions. XState
// handles an event inside `send`, has no ask (a callback in the event stands for it) and runs no exit
// action when an actor is stopped from outside: a machine's status confirms the stop, and a transition
// function is told of it by an event.
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { CreateFramework } from './framework.ts'

// Installed by the benchmark and not by us: what is used of it, typed here.
interface Actor {
  start(): Actor
  send(event: object): void
  stop(): Actor
  getSnapshot(): { readonly status: string; readonly context: unknown }
}
type Logic = object
interface Scope {
  readonly self: Actor
}
interface Given<Context, Event> {
  readonly context: Context
  readonly event: Event
  readonly self: Actor
}
type Assigned<Context, Event> = {
  readonly [Key in keyof Context]?: Context[Key] | ((given: Given<Context, Event>) => Context[Key])
}
interface XState {
  createActor(logic: Logic): Actor
  createMachine(machine: object): Logic
  assign<Context, Event>(fields: Assigned<Context, Event>): object
  fromTransition<State, Event extends object>(
    transition: (state: State, event: Event, scope: Scope) => State,
    initial: State | (() => State),
  ): Logic
}

interface Logics {
  readonly counter: Logic
  readonly echo: Logic
  readonly pong: Logic
  ping(pong: Actor): Logic
  /** Its start is an action that calls `started`. */
  child(started: () => void): Logic
}

type CounterEvent = { type: 'add'; by: number } | { type: 'read'; reply: (total: number) => void }
interface Say {
  type: 'say'
  text: string
  reply: (text: string) => void
}
interface Ball {
  type: 'ball'
  from: Actor
}
interface Go {
  type: 'go'
  exchanges: number
  reply: (done: number) => void
}
type PingEvent = Go | { type: 'back' }
interface Volley {
  left: number
  done: number
  reply: (done: number) => void
}

const idle: Volley = { left: 0, done: 0, reply: () => {} }

function machines({ createMachine, assign }: XState): Logics {
  return {
    counter: createMachine({
      context: { total: 0 },
      on: {
        add: {
          actions: assign<{ total: number }, { by: number }>({
            total: ({ context, event }) => context.total + event.by,
          }),
        },
        read: {
          actions: [
            ({ context, event }: Given<{ total: number }, { reply: (total: number) => void }>) =>
              event.reply(context.total),
            assign({ total: 0 }),
          ],
        },
      },
    }),
    echo: createMachine({
      on: {
        say: { actions: ({ event }: Given<unknown, Say>) => event.reply(`echo:${event.text}`) },
      },
    }),
    pong: createMachine({
      on: {
        ball: { actions: ({ event }: Given<unknown, Ball>) => event.from.send({ type: 'back' }) },
      },
    }),
    ping: (pong) => {
      const hit = ({ self }: Scope): void => pong.send({ type: 'ball', from: self })
      const count = assign<Volley, unknown>({
        left: ({ context }) => context.left - 1,
        done: ({ context }) => context.done + 1,
      })
      return createMachine({
        context: idle,
        on: {
          go: {
            actions: [
              assign<Volley, Go>({
                left: ({ event }) => event.exchanges,
                done: 0,
                reply: ({ event }: Given<Volley, Go>) => event.reply,
              }),
              hit,
            ],
          },
          back: [
            {
              guard: ({ context }: Given<Volley, unknown>) => context.left > 1,
              actions: [count, hit],
            },
            {
              actions: [
                count,
                ({ context }: Given<Volley, unknown>) => context.reply(context.done),
              ],
            },
          ],
        },
      })
    },
    child: (started) => createMachine({ entry: started }),
  }
}

function transitions({ fromTransition }: XState): Logics {
  return {
    counter: fromTransition((total: number, event: CounterEvent) => {
      if (event.type === 'add') return total + event.by
      event.reply(total)
      return 0
    }, 0),
    echo: fromTransition((state: null, { text, reply }: Say) => {
      reply(`echo:${text}`)
      return state
    }, null),
    pong: fromTransition((state: null, { from }: Ball) => {
      from.send({ type: 'back' })
      return state
    }, null),
    ping: (pong) =>
      fromTransition(
        (volley: Volley, event: PingEvent, { self }) => {
          if (event.type === 'go') {
            volley = { left: event.exchanges, done: 0, reply: event.reply }
          } else {
            volley.left -= 1
            volley.done += 1
          }
          if (volley.left > 0) pong.send({ type: 'ball', from: self })
          else volley.reply(volley.done)
          return volley
        },
        { ...idle },
      ),
    child: (started) =>
      fromTransition(
        (_, { type }: { type: string }) => (type === 'xstate.stop' ? 'stopped' : 'running'),
        () => {
          started()
          return 'running'
        },
      ),
  }
}

function creatorOf(logicsOf: (xstate: XState) => Logics): CreateFramework {
  return async ({ folder }) => {
    const require = createRequire(join(folder, 'package.json'))
    const xstate: XState = require('xstate')
    const { version } = require('xstate/package.json') as { version: string }
    const { createActor } = xstate
    const logics = logicsOf(xstate)
    const counter = createActor(logics.counter).start()
    const echo = createActor(logics.echo).start()
    const ping = createActor(logics.ping(createActor(logics.pong).start())).start()
    let started = 0
    const child = logics.child(() => {
      started += 1
    })
    const ask = <T>(actor: Actor, event: object): Promise<T> =>
      new Promise((reply) => actor.send({ ...event, reply }))

    return {
      version,
      async spawnAndStop(count) {
        started = 0
        const actors: Actor[] = []
        for (let i = 0; i < count; i++) actors.push(createActor(child).start())
        if (started !== count) throw new Error(`${started} of ${count} actors started`)
        let stopped = 0
        for (const actor of actors) {
          const { status, context } = actor.stop().getSnapshot()
          if (status === 'stopped' || context === 'stopped') stopped += 1
        }
        return stopped
      },
      async tells(count) {
        for (let i = 0; i < count; i++) counter.send({ type: 'add', by: 1 })
        return await ask<number>(counter, { type: 'read' })
      },
      async asks(count) {
        let right = 0
        for (let i = 0; i < count; i++) {
          if ((await ask(echo, { type: 'say', text: 'hi' })) === 'echo:hi') right += 1
        }
        return right
      },
      volley: (exchanges) => ask<number>(ping, { type: 'go', exchanges }),
    }
  }
}

export const createMachines = creatorOf(machines)
export const createTransitions = creatorOf(transitions)
