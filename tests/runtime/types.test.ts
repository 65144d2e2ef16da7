// What the compiler promises: each line below `@ts-expect-error` is a mistake that `tsc` refuses. The types
// step of the check fails where one of them compiles.
import { expect, test } from 'bun:test'
import { flag, type Infer, optional, replyTo, text, u32, union } from '../../protocol/schema.ts'
import { type Behavior, become, defineActor, next, type Ref, stop } from '../../runtime/actor.ts'
import type { System } from '../../runtime/system.ts'

const CounterMessage = union({
  add: { count: u32, note: optional(text) },
  read: { replyTo: replyTo<number>() },
  isOpen: { replyTo: replyTo<boolean>() },
})
type CounterMessage = Infer<typeof CounterMessage>
const Other = union({ other: { flag } })
type Other = Infer<typeof Other>

const counter = defineActor({
  kind: 'counter',
  protocol: CounterMessage,
  config: u32,
  start: (first) => first,
  receive(count, message) {
    switch (message.type) {
      case 'add':
        return next(count + message.count)
      case 'read':
        message.replyTo.tell(count)
        return next(count)
      case 'isOpen':
        // @ts-expect-error the reply is a boolean
        message.replyTo.tell(count)
        return stop()
    }
  },
})

// Never called: only compiled.
async function mistakes(system: System, ref: Ref<CounterMessage>): Promise<void> {
  ref.tell({ type: 'add', count: 1 })
  ref.tell({ type: 'add', count: 1, note: 'with a note' })
  // @ts-expect-error a message of another type
  ref.tell({ type: 'subtract', count: 1 })
  // @ts-expect-error a field is missing
  ref.tell({ type: 'add' })
  // @ts-expect-error a field of the wrong type
  ref.tell({ type: 'add', count: 'one' })
  // @ts-expect-error a field too many
  ref.tell({ type: 'add', count: 1, extra: true })
  // @ts-expect-error `ask` fills in the reply address: a tell has to
  ref.tell({ type: 'read' })

  const read: number = await system.ask(ref, { type: 'read' }, { timeoutMs: 1 })
  const isOpen: boolean = await system.ask(ref, { type: 'isOpen' }, { timeoutMs: 1 })
  // @ts-expect-error the reply is a number
  const wrong: string = await system.ask(ref, { type: 'read' }, { timeoutMs: 1 })
  // @ts-expect-error `add` has no reply
  await system.ask(ref, { type: 'add', count: 1 }, { timeoutMs: 1 })
  // @ts-expect-error an ask has a deadline
  await system.ask(ref, { type: 'read' })
  void [read, isOpen, wrong]

  const spawned: Ref<CounterMessage> = system.spawn(counter, 3, { name: 'x' })
  // @ts-expect-error its config is a number
  system.spawn(counter, 'three', { name: 'x' })
  // @ts-expect-error it has a name
  system.spawn(counter, 3, {})
  // @ts-expect-error the policies have names
  system.spawn(counter, 3, { name: 'x', restart: 'always' })
  // @ts-expect-error a ref of another protocol
  const other: Ref<Other> = spawned
  // A ref to an actor that takes more is a ref to one that takes less.
  const less: Ref<Extract<CounterMessage, { type: 'add' }>> = spawned
  void [other, less]

  // @ts-expect-error a sender that knows only `add` may not send all of the protocol
  const more: Ref<CounterMessage> = less
  void more
}

const understandsOther: Behavior<null, Other> = { receive: (state) => next(state) }
const understandsCounter: Behavior<string, CounterMessage> = { receive: (state) => next(state) }

defineActor({
  kind: 'becoming',
  protocol: CounterMessage,
  start: () => 0,
  receive: (_, message) =>
    message.type === 'add' ? become(understandsCounter, 'a state of its own') : next(1),
})
defineActor({
  kind: 'becoming',
  // @ts-expect-error the behavior that takes over does not understand this protocol
  protocol: CounterMessage,
  start: () => 0,
  receive: () => become(understandsOther, null),
})
defineActor({
  kind: 'forgetful',
  protocol: CounterMessage,
  start: () => 0,
  // @ts-expect-error a turn comes to something
  receive: () => {},
})
defineActor({
  kind: 'impatient',
  protocol: CounterMessage,
  start: () => 0,
  // @ts-expect-error a turn does not wait: `context.pipe` does
  receive: async (state) => next(state),
})
// @ts-expect-error the state that `become` gets is that of the behavior
become(understandsCounter, 5)

test('wrong messages do not compile', () => {
  expect(typeof mistakes).toBe('function')
})
