// Faults on links, under virtual time: what they hold back arrives, once and in order.
import { expect, test } from 'bun:test'
import { createMemberLog } from '../../runtime/member-log.ts'
import { countTo, startCluster } from './members.ts'

test('a delay holds back what arrives, in order, and ends by itself', async () => {
  const { world, members } = await startCluster(['a', 'b'])
  const [a, b] = members
  a.to('b').tell({ type: 'note', value: 0 })
  await world.clock.advance(10)
  expect(
    b.system.injectFault({ member: 'a', fault: { type: 'delay', ms: 50 }, durationMs: 100 }),
  ).toBe(true)
  for (const value of [1, 2, 3]) a.to('b').tell({ type: 'note', value })
  await world.clock.advance(40)
  expect(b.notes.values).toEqual([0])
  await world.clock.advance(30)
  expect(b.notes.values).toEqual([0, 1, 2, 3])
  await world.clock.advance(100)
  a.to('b').tell({ type: 'note', value: 4 })
  await world.clock.advance(10)
  expect(b.notes.values).toEqual(countTo(5))
})

test('a short partition is survived: nothing is lost, nothing comes twice', async () => {
  const { world, members } = await startCluster(['a', 'b'])
  const [a, b] = members
  a.to('b').tell({ type: 'note', value: 0 })
  await world.clock.advance(10)
  b.system.injectFault({ fault: { type: 'partition' }, durationMs: 300 })
  for (let value = 1; value < 50; value++) {
    a.to('b').tell({ type: 'note', value })
    b.to('a').tell({ type: 'note', value })
    await world.clock.advance(5)
  }
  expect(b.notes.values).toEqual([0])
  expect(a.notes.values).toEqual([])
  await world.clock.advance(400)
  expect(b.notes.values).toEqual(countTo(50))
  expect(a.notes.values).toEqual(countTo(50).slice(1))
})

test('there is no fault on a link that is not there', async () => {
  const { members } = await startCluster(['a', 'b'])
  const on = { member: 'nobody', fault: { type: 'partition' }, durationMs: 10 } as const
  expect(members[0].system.injectFault(on)).toBe(false)
})

test('a log that overran says how much is gone, and a storm of dead letters is one line', async () => {
  const { members } = await startCluster(['a', 'b'])
  const { system } = members[0]
  const log = createMemberLog(system, 8)
  const gone = system.ref<{ type: 'x' }>({ member: 'a', path: '/gone' })
  for (let i = 0; i < 100; i++) gone.tell({ type: 'x' })
  expect(log.since(0).entries.map(({ event }) => event.type)).toEqual(['dead-letter'])
  for (let i = 0; i < 20; i++) {
    system.ref({ member: 'a', path: `/gone-${i}` }).tell({ type: 'x' } as never)
  }
  const { entries, next, missed } = log.since(1)
  expect([entries.length, next, missed]).toEqual([8, 21, 12])
  expect(log.since(next)).toEqual({ entries: [], next: 21, missed: 0 })
})
