// The smallest actor: it counts, answers, crashes once, and is back.
//   bun examples/counter.ts
import {
  createSystem,
  defineActor,
  next,
  realEnvironment,
  replyTo,
  u32,
  union,
} from 'troupe/runtime'

const CounterMessage = union({
  add: { count: u32 },
  read: { replyTo: replyTo<number>() },
  crash: {},
})

const counter = defineActor({
  kind: 'counter',
  protocol: CounterMessage,
  start: () => 0,
  receive(count, message) {
    switch (message.type) {
      case 'add':
        return next(count + message.count)
      case 'read':
        message.replyTo.tell(count)
        return next(count)
      case 'crash':
        throw new Error('as told')
    }
  },
  restarted(count, ended, { log }) {
    log.info(`a new life, after the last one ${ended.type}`)
    return count
  },
})

const system = createSystem({ environment: realEnvironment({ seed: 1 }), member: 'example' })
system.inspect((event) => {
  if (event.type === 'log') console.log(`${event.path}: ${event.message}`)
})
const ref = system.spawn(counter, undefined, { name: 'counter' })
for (let i = 1; i <= 10; i++) ref.tell({ type: 'add', count: i })
console.log(await system.ask(ref, { type: 'read' }, { timeoutMs: 1_000 })) // 55
ref.tell({ type: 'crash' })
await system.drain(1_000)
console.log(await system.ask(ref, { type: 'read' }, { timeoutMs: 1_000 })) // 0: a fresh state
system.stop()
