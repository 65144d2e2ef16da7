// The four workloads on Troupe: mailboxes bounded, inspection there, nobody listening.
import manifest from '../../../package.json'
import {
  createSystem,
  defineActor,
  type Infer,
  integer,
  next,
  type Ref,
  realEnvironment,
  ref,
  replyTo,
  text,
  union,
} from '../../../runtime/index.ts'
import type { CreateFramework } from './framework.ts'

const TIMEOUT_MS = 60_000

const CounterMessage = union({ add: { by: integer }, read: { replyTo: replyTo<number>() } })
type CounterMessage = Infer<typeof CounterMessage>

const counter = defineActor({
  kind: 'counter',
  protocol: CounterMessage,
  start: () => 0,
  receive(total: number, message: CounterMessage) {
    if (message.type === 'add') return next(total + message.by)
    message.replyTo.tell(total)
    return next(0)
  },
})

const EchoMessage = union({ say: { text, replyTo: replyTo<string>() } })

const echo = defineActor({
  kind: 'echo',
  protocol: EchoMessage,
  start: () => null,
  receive(state: null, message: Infer<typeof EchoMessage>) {
    message.replyTo.tell(`echo:${message.text}`)
    return next(state)
  },
})

const PongMessage = union({ ball: { from: ref<Ball>() } })
interface Ball {
  readonly type: 'back'
}
const PingMessage = union({
  go: { exchanges: integer, replyTo: replyTo<number>() },
  back: {},
})
type PongMessage = Infer<typeof PongMessage>
type PingMessage = Infer<typeof PingMessage>

const pong = defineActor({
  kind: 'pong',
  protocol: PongMessage,
  start: () => null,
  receive(state: null, { from }: PongMessage) {
    from.tell({ type: 'back' })
    return next(state)
  },
})

interface Volley {
  readonly pong: Ref<PongMessage>
  left: number
  done: number
  replyTo: Ref<number> | undefined
}

const ping = defineActor({
  kind: 'ping',
  protocol: PingMessage,
  config: { decode: (value) => value as Ref<PongMessage> },
  start: (to: Ref<PongMessage>): Volley => ({ pong: to, left: 0, done: 0, replyTo: undefined }),
  receive(volley: Volley, message: PingMessage, context) {
    if (message.type === 'go') {
      volley.left = message.exchanges
      volley.done = 0
      volley.replyTo = message.replyTo
    } else {
      volley.left -= 1
      volley.done += 1
    }
    if (volley.left > 0) volley.pong.tell({ type: 'ball', from: context.self })
    else volley.replyTo?.tell(volley.done)
    return next(volley)
  },
})

export const create: CreateFramework = async ({ batches }) => {
  const system = createSystem({ environment: realEnvironment({ seed: 'bench' }), member: 'bench' })
  const counters = new Map(
    batches.map((size) => [
      size,
      // The batch and the ask after it, no more.
      system.spawn(counter, undefined, { name: `counter-${size}`, mailboxMessagesMax: size + 1 }),
    ]),
  )
  const echoing = system.spawn(echo, undefined, { name: 'echo' })
  const ponging = system.spawn(pong, undefined, { name: 'pong' })
  const pinging = system.spawn(ping, ponging, { name: 'ping' })

  let started = 0
  let stopped = 0
  let whenStopped: { readonly count: number; readonly resolve: () => void } | undefined
  const child = defineActor({
    kind: 'child',
    protocol: union({ nothing: {} }),
    start() {
      started += 1
      return null
    },
    receive: (state: null) => next(state),
    stopped() {
      stopped += 1
      if (stopped === whenStopped?.count) whenStopped.resolve()
    },
  })
  let children = 0

  return {
    version: manifest.version,
    async spawnAndStop(count) {
      started = 0
      stopped = 0
      const refs: Ref<never>[] = []
      for (let i = 0; i < count; i++) {
        refs.push(system.spawn(child, undefined, { name: `child-${children++}` }) as Ref<never>)
      }
      if (started !== count) throw new Error(`${started} of ${count} actors started`)
      const { promise, resolve } = Promise.withResolvers<void>()
      whenStopped = { count, resolve }
      for (const one of refs) system.stopActor(one)
      await promise
      return stopped
    },
    async tells(count) {
      const target = counters.get(count)
      if (!target) throw new Error(`no counter for batches of ${count}`)
      for (let i = 0; i < count; i++) target.tell({ type: 'add', by: 1 })
      return await system.ask(target, { type: 'read' }, { timeoutMs: TIMEOUT_MS })
    },
    async asks(count) {
      let right = 0
      for (let i = 0; i < count; i++) {
        const said = await system.ask(echoing, { type: 'say', text: 'hi' }, { timeoutMs: 5_000 })
        if (said === 'echo:hi') right += 1
      }
      return right
    },
    volley: (exchanges) =>
      system.ask(pinging, { type: 'go', exchanges }, { timeoutMs: TIMEOUT_MS }),
  }
}
