import { describe, expect, test } from 'bun:test'
import { type Infer, ref, replyTo, text, union } from '../../../protocol/schema.ts'
import { type ActorDefinition, next, type Ref } from '../../../runtime/actor.ts'
import { type EchoMessage, echo, failureOf, type Members, startMembers } from './members.ts'

const PostMessage = union({
  /** Where the others go from now on. */
  post: { target: ref<EchoMessage>() },
  who: { key: text, replyTo: replyTo<string>() },
  hold: { replyTo: replyTo<string>() },
  slow: { replyTo: replyTo<string>() },
  crash: {},
})
type PostMessage = Infer<typeof PostMessage>

/** Passes on what it is told; without a target it refuses. */
const post: ActorDefinition<undefined, Ref<EchoMessage> | undefined, PostMessage> = {
  kind: 'post',
  protocol: PostMessage,
  config: { decode: () => undefined },
  start: () => undefined,
  receive(target, message, context) {
    if (message.type === 'post') return next<Ref<EchoMessage> | undefined>(message.target)
    if (message.type === 'crash') throw new RangeError('as told')
    if (target === undefined) context.refuse(message, 'overloaded', 'nowhere to go')
    else if (context.forward(target, message) !== 'accepted') {
      context.refuse(message, 'died', 'it did not go')
    }
    return next(target)
  },
}

interface Trio {
  readonly members: Members
  readonly router: Ref<PostMessage>
  readonly routee: Ref<EchoMessage>
  ask(type: 'who' | 'hold' | 'slow'): Promise<string>
  deadLetters(): string[]
}

/** The asker is on a; the other two are where they are told to be. */
async function startTrio(routerOn: string, routeeOn: string): Promise<Trio> {
  const members = await startMembers(['control', 'a', 'b', 'c'], { definitions: [echo, post] })
  const routee = members.system(routeeOn).spawn(echo, '', { name: 'routee' })
  const local = members.system(routerOn).spawn(post, undefined, { name: 'router' })
  local.tell({ type: 'post', target: members.system(routerOn).ref(routee.address) })
  const asker = members.system('a')
  const router = asker.ref<PostMessage>(local.address)
  const ask = (type: 'who' | 'hold' | 'slow'): Promise<string> => {
    const message = type === 'who' ? { type, key: 'x' } : { type }
    return failureOf(asker.ask(router, message as { type: 'hold' }, { timeoutMs: 50_000 }))
  }
  const deadLetters = (): string[] =>
    members.events.flatMap((event) => (event.type === 'dead-letter' ? [event.cause] : []))
  return { members, router, routee, ask, deadLetters }
}

const places = [
  ['a', 'a'],
  ['a', 'b'],
  ['b', 'a'],
  ['b', 'b'],
  ['b', 'c'],
  ['control', 'a'],
  ['control', 'c'],
] as const

const elapsed = async ({ members }: Trio, promise: Promise<string>): Promise<[string, number]> => {
  const { clock } = members.world
  const start = clock.now()
  const answer = await members.settle(promise)
  return [answer, clock.now() - start]
}

for (const [routerOn, routeeOn] of places) {
  describe(`an ask from a, forwarded on ${routerOn} to ${routeeOn}`, () => {
    test('is answered by the routee', async () => {
      const trio = await startTrio(routerOn, routeeOn)
      const [answer] = await elapsed(trio, trio.ask('who'))
      expect(answer).toBe(`answered ${routeeOn}/routee`)
      expect(trio.deadLetters()).toEqual([])
    })

    test('fails at once when the routee crashes', async () => {
      const trio = await startTrio(routerOn, routeeOn)
      const asked = trio.ask('hold')
      await trio.members.world.clock.advance(100)
      trio.members.system(routeeOn).ref<EchoMessage>(trio.routee.address).tell({ type: 'crash' })
      const [answer, ms] = await elapsed(trio, asked)
      expect(answer).toMatch(/^died: .*as told/)
      expect(ms).toBeLessThan(20)
    })

    test('outlives the router', async () => {
      const trio = await startTrio(routerOn, routeeOn)
      const asked = trio.ask('slow')
      await trio.members.world.clock.advance(50)
      trio.router.tell({ type: 'crash' })
      const [answer] = await elapsed(trio, asked)
      expect(answer).toBe(`answered ${routeeOn}/routee`)
    })

    test('fails at once where the routee is gone', async () => {
      const trio = await startTrio(routerOn, routeeOn)
      trio.members.system(routeeOn).stopActor(trio.routee)
      const [answer, ms] = await elapsed(trio, trio.ask('who'))
      expect(answer).toMatch(/^died: /)
      expect(ms).toBeLessThan(20)
    })

    test('fails at once when the member of the routee is lost', async () => {
      if (routeeOn === 'a') return
      const trio = await startTrio(routerOn, routeeOn)
      const asked = trio.ask('hold')
      await trio.members.world.clock.advance(100)
      trio.members.system('control').markLost(routeeOn, 1, 'killed by SIGKILL')
      const [answer, ms] = await elapsed(trio, asked)
      expect(answer).toMatch(/^unreachable: .*SIGKILL/)
      expect(ms).toBeLessThan(20)
    })

    test('can be withdrawn: its time-out leaves nothing behind', async () => {
      const trio = await startTrio(routerOn, routeeOn)
      const router = trio.router as Ref<EchoMessage>
      const asker = trio.members.system('a')
      const asked = failureOf(asker.ask(router, { type: 'hold' }, { timeoutMs: 100 }))
      const [answer] = await elapsed(trio, asked)
      expect(answer).toMatch(/^timeout/)
      await trio.members.world.clock.advance(50)
      trio.members.system(routeeOn).stopActor(trio.routee)
      await trio.members.world.clock.advance(50)
      expect(trio.deadLetters()).toEqual([])
    })
  })
}

test('an ask that waited in the mailbox of a dead router fails with it', async () => {
  const trio = await startTrio('b', 'c')
  trio.router.tell({ type: 'crash' })
  const [answer, ms] = await elapsed(trio, trio.ask('who'))
  expect(answer).toMatch(/^died: .*as told/)
  expect(ms).toBeLessThan(20)
})

test('the loss of the member that passed an ask on fails it: the message may be lost too', async () => {
  const trio = await startTrio('b', 'c')
  const asked = trio.ask('hold')
  await trio.members.world.clock.advance(100)
  trio.members.system('control').markLost('b', 1, 'gone')
  const [answer, ms] = await elapsed(trio, asked)
  expect(answer).toMatch(/^unreachable: .*gone/)
  expect(ms).toBeLessThan(20)
})

describe('refuse', () => {
  for (const on of ['a', 'b']) {
    test(`an ask that is refused on ${on} says so at once, by name`, async () => {
      const trio = await startTrio(on, 'c')
      trio.members.system(on).spawn(post, undefined, { name: 'nowhere' })
      const asker = trio.members.system('a')
      const nowhere = asker.ref<EchoMessage>({ member: on, path: '/nowhere' })
      const asked = failureOf(asker.ask(nowhere, { type: 'hold' }, { timeoutMs: 50_000 }))
      const [answer, ms] = await elapsed(trio, asked)
      expect(answer).toMatch(/^overloaded: .*nowhere to go/)
      expect(ms).toBeLessThan(20)
    })
  }

  test('a tell that is refused is a dead letter', async () => {
    const trio = await startTrio('a', 'a')
    const nowhere = trio.members.system('a').spawn(post, undefined, { name: 'nowhere' })
    nowhere.tell({ type: 'hold', replyTo: trio.routee as unknown as Ref<string> })
    await trio.members.world.clock.advance(10)
    expect(trio.deadLetters()).toEqual(['nowhere to go'])
  })
})
