// Two members of one process, over real sockets on loopback.
import { deepEqual, equal, match, ok } from 'node:assert/strict'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import type { Ref } from '../../runtime/actor.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { createSystem, type System } from '../../runtime/system.ts'
import { type EchoMessage, echo } from '../chaos/fixtures/actors.ts'
import { type Case, group, messageOf } from './cases.ts'
import { type MessengerMessage, messenger } from './fixtures/messenger.ts'

interface Fixture extends AsyncDisposable {
  readonly a: System
  /** Has joined `a`. */
  readonly b: System
  /** An actor of `a`, as `b` sees it. */
  readonly far: Ref<EchoMessage>
  /** An actor of `b`. */
  readonly watcher: Ref<MessengerMessage>
  member(name: string, token?: string): System
}

async function open(): Promise<Fixture> {
  const systems: System[] = []
  const member = (name: string, token = 'secret'): System => {
    const system = createSystem({
      environment: realEnvironment({ seed: name }),
      member: name,
      token,
      definitions: [echo],
    })
    systems.push(system)
    return system
  }
  const [a, b] = [member('a'), member('b')]
  a.spawn(echo, { greeting: '' }, { name: 'echo', restart: 'temporary' })
  await b.join(await a.listen())
  const watcher = b.spawn(messenger, {}, { name: 'messenger' })
  return {
    a,
    b,
    far: b.ref<EchoMessage>({ member: 'a', path: '/echo' }),
    watcher,
    member,
    async [Symbol.asyncDispose]() {
      for (const system of systems.reverse()) system.stop()
    },
  }
}

const soon = { timeoutMs: 5_000 }

const clusterCases: readonly Case<Fixture>[] = [
  [
    'asks are answered',
    async ({ b, far }) => {
      equal(await b.ask(far, { type: 'echo', text: 'hello' }, soon), 'hello')
    },
  ],
  [
    'tells arrive in order',
    async ({ b, far }) => {
      for (let value = 0; value < 5_000; value++) {
        equal(far.tell({ type: 'count', value }), 'accepted')
        if (value % 500 === 499) await b.ask(far, { type: 'echo', text: '' }, soon)
      }
      const counted = await b.ask(far, { type: 'counted' }, soon)
      deepEqual(
        counted,
        Array.from({ length: 5_000 }, (_, value) => value),
      )
    },
  ],
  [
    'a tensor of 26 MB arrives whole and aligned, and comes back',
    async ({ b, far }) => {
      const values = Float32Array.from({ length: 6_500_000 }, (_, index) => index % 1_000)
      const { tensor, misalignment } = await b.ask(
        far,
        { type: 'weigh', tensor: tensorOf(values) },
        { timeoutMs: 10_000 },
      )
      equal(misalignment, 0)
      const back = float32View(tensor)
      ok(back.length === values.length && back.every((value, index) => value === index % 1_000))
    },
  ],
  [
    'an actor can be started on the other member',
    async ({ b }) => {
      const started = await b.spawnOn('a', echo, { greeting: '' }, { name: 'second' })
      equal(await b.ask(started, { type: 'echo', text: 'there' }, soon), 'there')
      const failing = b.spawnOn('a', echo, { greeting: 'fail' }, { name: 'third' })
      match(await messageOf(failing), /did not start: TypeError: this greeting fails/)
    },
  ],
  [
    'a crash is one Down with its cause, and fails an ask at once',
    async ({ b, far, watcher }) => {
      watcher.tell({ type: 'watch', target: far })
      // What follows is handled after it.
      await b.ask(watcher, { type: 'relay', to: far, text: '' }, soon)
      const held = messageOf(b.ask(far, { type: 'hold' }, { timeoutMs: 60_000 }))
      far.tell({ type: 'crash', cause: 'as told' })
      match(await held, /died: a\/echo: TypeError: as told/)
      deepEqual(await b.ask(watcher, { type: 'downs' }, soon), ['a crashed: TypeError: as told'])
    },
  ],
  [
    'a member that leaves is one Down for each of its watched actors',
    async ({ a, b, far, watcher }) => {
      watcher.tell({ type: 'watch', target: far })
      await b.ask(watcher, { type: 'relay', to: far, text: '' }, soon)
      a.stop()
      const [down, ...others] = await b.ask(watcher, { type: 'downs' }, soon)
      match(down ?? '', /^a (stopped|unreachable: left)$/)
      deepEqual(others, [])
    },
  ],
  [
    'a wrong token is refused by name',
    async ({ a, member }) => {
      match(await messageOf(member('c', 'guess').join(a.url ?? '')), /wrong token/)
    },
  ],
]

export const clusters = group('two members', open, clusterCases)
