import { describe, expect, test } from 'bun:test'
import { type Infer, plain, union } from '../../../protocol/schema.ts'
import { defineActor, next, type Ref } from '../../../runtime/actor.ts'
import { type GroupMessage, groupNews, groupRegistry } from '../../../runtime/groups/registry.ts'
import { echo, type Members, startMembers } from './members.ts'

const Subscriber = union({ group: groupNews })
type News = Infer<typeof Subscriber>

async function setUp() {
  const members = await startMembers(['control', 'a', 'b'])
  const control = members.system('control')
  const registry = control.spawn(groupRegistry, undefined, { name: 'groups' })
  /** The registry as another member addresses it. */
  const from = (member: string): Ref<GroupMessage> => members.system(member).ref(registry.address)
  const join = (member: string, ref: Ref<never>) =>
    members.settle(
      members.system(member).ask(from(member), { type: 'join', name: 'echoes', ref }, asking),
    )
  const listed = async (): Promise<string[]> => {
    const refs = await members.settle(
      control.ask(registry, { type: 'list', name: 'echoes' }, asking),
    )
    return refs.map(({ address }) => `${address.member}${address.path}`)
  }
  return { members, control, registry, from, join, listed }
}

const asking = { timeoutMs: 10_000 }
const spawnEcho = (members: Members, member: string, name: string) =>
  members.system(member).spawn(echo, name, { name })

describe('a named group', () => {
  test('lists who has joined, from whatever member, once and oldest first', async () => {
    const { members, join, listed } = await setUp()
    const far = spawnEcho(members, 'a', 'one')
    await join('a', far)
    await join('b', spawnEcho(members, 'b', 'two'))
    await join('a', far)
    expect(await listed()).toEqual(['a/one', 'b/two'])
  })

  test('loses who leaves, whose life ends, and whose member is lost', async () => {
    const { members, from, join, listed, control } = await setUp()
    const refs = {
      leaves: spawnEcho(members, 'a', 'leaves'),
      crashes: spawnEcho(members, 'a', 'crashes'),
      stays: spawnEcho(members, 'a', 'stays'),
    }
    for (const ref of Object.values(refs)) await join('a', ref)
    await join('b', spawnEcho(members, 'b', 'lost'))
    from('a').tell({ type: 'leave', name: 'echoes', ref: refs.leaves })
    refs.crashes.tell({ type: 'crash' })
    control.markLost('b', 1, 'killed by SIGKILL')
    await members.world.clock.advance(100)
    expect(await listed()).toEqual(['a/stays'])
  })

  test('tells its subscribers who is in at once, and again after every change', async () => {
    const { members, join, from } = await setUp()
    const news: string[][] = []
    const subscriber = members.system('b').spawn(
      defineActor({
        kind: 'subscriber',
        protocol: Subscriber,
        config: plain,
        start: () => null,
        receive(state, { refs }: News) {
          news.push(refs.map(({ address }) => address.path))
          return next(state)
        },
      }),
      null,
      { name: 'subscriber' },
    )
    const one = spawnEcho(members, 'a', 'one')
    await join('a', one)
    await members.settle(
      members.system('b').ask(from('b'), { type: 'subscribe', name: 'echoes', subscriber }, asking),
    )
    await join('a', spawnEcho(members, 'a', 'two'))
    members.system('a').stopActor(one)
    await members.world.clock.advance(100)
    expect(news).toEqual([['/one'], ['/one', '/two'], ['/two']])
  })
})
