// Streams of events: whole for those who keep up, honest to those who do not, bounded for all.
import { expect, test } from 'bun:test'
import { createEventLog, type EventLog } from '../../../actors/control/event-log.ts'
import { createHistory } from '../../../actors/control/history.ts'
import { virtualClock } from '../../../runtime/simulation/virtual-clock.ts'

function open(options: { eventsMax?: number; readersMax?: number } = {}) {
  const clock = virtualClock()
  return { clock, log: createEventLog({ clock, ...options }) }
}

interface Sent {
  readonly id: number
  readonly event: string
  readonly data: Record<string, unknown>
}

function readerOf(log: EventLog, from: Parameters<EventLog['stream']>[0]) {
  const reader = log.stream(from)!.getReader()
  const decoder = new TextDecoder()
  return {
    cancel: () => reader.cancel(),
    /** The next chunk; comments are nothing. */
    async next(): Promise<Sent[] | 'closed'> {
      const { value, done } = await reader.read()
      if (done) return 'closed'
      const blocks = decoder
        .decode(value)
        .split('\n\n')
        .filter((block) => block.startsWith('id:'))
      return blocks.map((block) => {
        const [id = '', event = '', data = ''] = block.split('\n')
        return { id: Number(id.slice(4)), event: event.slice(7), data: JSON.parse(data.slice(6)) }
      })
    },
  }
}

test('a reader gets every event once, in order, from where it was', async () => {
  const { log, clock } = open()
  for (let i = 1; i <= 5; i++) log.put({ type: 'tick', i })
  const reader = readerOf(log, { after: 2 })
  expect(await reader.next()).toEqual([])
  expect((await reader.next()) as Sent[]).toMatchObject([{ id: 3 }, { id: 4 }, { id: 5 }])
  const waiting = reader.next()
  log.put({ type: 'tick', i: 6 })
  await clock.advance(30)
  expect(await waiting).toMatchObject([{ id: 6, event: 'tick', data: { i: 6, type: 'tick' } }])
})

test('a reader that lags is told how much it missed, and goes on from there', async () => {
  const { log, clock } = open({ eventsMax: 10 })
  const slow = readerOf(log, { after: 0 })
  expect(await slow.next()).toEqual([])
  for (let i = 1; i <= 100; i++) log.put({ type: 'tick', i })
  await clock.advance(30)
  const sent = (await slow.next()) as Sent[]
  const missed = sent.find(({ event }) => event === 'missed')
  expect(missed?.data).toEqual({ type: 'missed', from: 1, to: 90, count: 90 })
  expect(sent.filter(({ event }) => event === 'tick').map(({ id }) => id)).toEqual([
    91, 92, 93, 94, 95, 96, 97, 98, 99, 100,
  ])
})

test('a hundred readers that never read cost a chunk each, whatever happens', async () => {
  const { log, clock } = open({ eventsMax: 100 })
  const readers = Array.from({ length: 100 }, () => readerOf(log, { after: 0 }))
  for (let i = 0; i < 10_000; i++) log.put({ type: 'tick', text: 'x'.repeat(500) })
  await clock.advance(100)
  for (const reader of readers) {
    // The comment at the beginning, one chunk that was ready, then what is still kept.
    await reader.next()
    const sent = (await reader.next()) as Sent[]
    expect(JSON.stringify(sent).length).toBeLessThan(80_000)
    await reader.cancel()
  }
  expect(log.readers).toBe(0)
})

test('only the wanted types are sent; one reader too many is refused', async () => {
  const { log } = open({ readersMax: 1 })
  const reader = readerOf(log, { after: 0, types: new Set(['death']) })
  expect(log.stream({ after: 0 })).toBeUndefined()
  log.put({ type: 'progress' })
  log.put({ type: 'death' })
  await reader.next()
  expect(await reader.next()).toMatchObject([{ id: 2, event: 'death' }])
  await reader.cancel()
  expect(log.stream({ after: 0 })).toBeDefined()
})

test('a silent stream says now and then that it is alive, and ends with its log after the last event', async () => {
  const { log, clock } = open()
  const reader = readerOf(log, { after: 0 })
  await reader.next()
  const quiet = reader.next()
  await clock.advance(15_000)
  expect(await quiet).toEqual([])
  log.put({ type: 'last' })
  log.close()
  expect(await reader.next()).toMatchObject([{ event: 'last' }])
  expect(await reader.next()).toBe('closed')
  expect(log.readers).toBe(0)
})

test('who resumes after another life of the log hears all of this one', async () => {
  const { log } = open()
  log.put({ type: 'first' })
  const reader = readerOf(log, { after: 4_000 })
  await reader.next()
  expect(await reader.next()).toMatchObject([{ id: 1, event: 'first' }])
})

test('curves stay bounded however long a run is, and keep their first and their newest points', () => {
  const history = createHistory({ pointsMax: 100 })
  for (let i = 0; i < 100_000; i++) {
    history.note({ type: 'progress', phase: 'images', done: i, total: 1, loss: i }, i / 2)
  }
  const { seconds, loss } = history.show('run')
  expect(seconds.length).toBeLessThan(100)
  expect(seconds.length).toBeGreaterThan(40)
  expect([seconds[0], loss[0]]).toEqual([0, 0])
  expect(seconds.at(-1)!).toBeGreaterThan(48_000)
  expect(seconds).toEqual([...seconds].sort((a, b) => a - b))
})
