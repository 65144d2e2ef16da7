// The pure core of delivery: inbox and outbox, by table, against an obviously right twin, and against
// each other over a channel that loses, doubles and reorders.
import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Delivery, DeliveryAnswer } from '../../../runtime/delivery/envelope.ts'
import {
  createInbox,
  type Heading,
  type Inbox,
  judgeDelivery,
  type Progress,
  type Verdict,
} from '../../../runtime/delivery/inbox.ts'
import { createOutbox, type Outbox, outboxLimits } from '../../../runtime/delivery/outbox.ts'

describe('judgeDelivery', () => {
  const cases: [string, Progress | undefined, Partial<Heading>, Verdict][] = [
    ['the next one', { life: 7, opening: 1, handled: 4 }, { sequence: 5 }, 'handle'],
    ['the one before', { life: 7, opening: 1, handled: 4 }, { sequence: 4 }, 'duplicate'],
    ['one with a gap before it', { life: 7, opening: 1, handled: 4 }, { sequence: 6 }, 'early'],
    [
      'the next behind given-up ones',
      { life: 7, opening: 1, handled: 4 },
      { sequence: 9, settled: 8 },
      'handle',
    ],
    [
      'a late copy of a given-up one',
      { life: 7, opening: 1, handled: 8 },
      { sequence: 6 },
      'duplicate',
    ],
    ['a producer nobody knows', undefined, { sequence: 1 }, 'unknown-producer'],
    [
      'a successor that has not probed',
      { life: 6, opening: 1, handled: 4 },
      {},
      'unknown-producer',
    ],
    ['a former life', { life: 8, opening: 1, handled: 0 }, {}, 'former-life'],
    [
      'one for the former receiver',
      { life: 7, opening: 1, handled: 4 },
      { receiver: 2, sequence: 5 },
      'unknown-producer',
    ],
    [
      'one for a former opening',
      { life: 7, opening: 2, handled: 4 },
      { sequence: 5 },
      'unknown-producer',
    ],
    ['zero', { life: 7, opening: 1, handled: 0 }, { sequence: 0 }, 'bad-sequence'],
    [
      'a settled one',
      { life: 7, opening: 1, handled: 4 },
      { sequence: 3, settled: 3 },
      'bad-sequence',
    ],
    ['the last of the window', { life: 7, opening: 1, handled: 9 }, { sequence: 10 }, 'handle'],
    [
      'one beyond the window',
      { life: 7, opening: 1, handled: 10 },
      { sequence: 11 },
      'bad-sequence',
    ],
    [
      'a negative count',
      { life: 7, opening: 1, handled: 0 },
      { sequence: 1, settled: -1 },
      'bad-sequence',
    ],
  ]
  for (const [name, progress, heading, verdict] of cases) {
    test(`${name}: ${verdict}`, () => {
      const given = { life: 7, settled: 0, receiver: 3, opening: 1, sequence: 1, ...heading }
      expect(judgeDelivery(progress, given, { incarnation: 3, windowMax: 10 })).toBe(verdict)
    })
  }

  test('agrees with a twin that remembers every sequence it has handled', () => {
    const arrivals = fc.array(
      fc.record({ sequence: fc.integer({ min: 1, max: 12 }), settled: fc.nat(8) }),
      { maxLength: 60, size: 'max' },
    )
    fc.assert(
      fc.property(arrivals, (given) => {
        const inbox = createInbox(3, { windowMax: 50, producersMax: 1 })
        inbox.open('p', 7, 0)
        const done = new Set<number>()
        for (const { sequence, settled } of given) {
          if (sequence <= settled) continue
          const verdict = inbox.judge('p', { life: 7, settled, receiver: 3, opening: 1, sequence })
          const isSettled = (before: number): boolean => before <= settled || done.has(before)
          const isNext = [...Array(sequence - 1).keys()].every((index) => isSettled(index + 1))
          const isDone = done.has(sequence)
          expect(verdict).toBe(isDone ? 'duplicate' : isNext ? 'handle' : 'early')
          // What was settled without it counts as done: no later copy of it may run.
          if (verdict !== 'handle') continue
          for (let before = 1; before <= sequence; before++) done.add(before)
          inbox.handled('p', sequence)
        }
      }),
    )
  })
})

describe('an inbox', () => {
  test('remembers so many producers, and forgets the one that was silent longest', () => {
    const inbox = createInbox(1, { windowMax: 50, producersMax: 2 })
    const heading = { life: 1, settled: 0, receiver: 1, opening: 1, sequence: 2 }
    for (const producer of ['a', 'b']) {
      inbox.open(producer, 1, 0)
      inbox.handled(producer, 1)
    }
    inbox.handled('a', 2)
    inbox.open('c', 1, 0)
    expect(inbox.producers).toBe(2)
    expect(inbox.judge('a', heading)).toBe('duplicate')
    expect(inbox.judge('b', heading)).toBe('unknown-producer')
  })

  test('confirms nothing from the first delivery on that is put aside', () => {
    const inbox = createInbox(1)
    inbox.open('p', 1, 0)
    inbox.handled('p', 1)
    inbox.handled('p', 2, true)
    inbox.handled('p', 3)
    expect(inbox.progress('p', 3)).toEqual({ opening: 1, through: 1, sent: 1 })
    expect(inbox.progress('p', 4)).toEqual({ opening: 1, through: 1, sent: 4 })
    inbox.release('p', 1, 2)
    expect(inbox.progress('p', 3)).toEqual({ opening: 1, through: 3, sent: 3 })
  })

  test('reports each gap once', () => {
    const inbox = createInbox(1)
    inbox.open('p', 1, 0)
    expect([inbox.reportsGap('p'), inbox.reportsGap('p')]).toEqual([true, false])
    inbox.handled('p', 1)
    expect([inbox.reportsGap('p'), inbox.reportsGap('p')]).toEqual([true, false])
  })

  test('forgets a life of a producer that has ended, and no other', () => {
    const inbox = createInbox(1)
    inbox.open('p', 2, 0)
    inbox.close('p', 1)
    expect(inbox.producers).toBe(1)
    inbox.close('p', 2)
    expect(inbox.producers).toBe(0)
  })
})

describe('an outbox', () => {
  const confirmed = (through: number, receiver = 1, sent = through, window = 50) =>
    ({ type: 'confirmed', life: 1, receiver, opening: 1, through, sent, window }) as const
  const filled = (count: number, limits = {}): Outbox<number> => {
    const outbox = createOutbox<number>({ ...outboxLimits, ...limits })
    for (let i = 1; i <= count; i++) {
      outbox.push({ message: i, acceptedAt: i, settle: undefined })
    }
    return outbox
  }
  const taken = (outbox: Outbox<number>): number[] => outbox.take().map(({ sequence }) => sequence)

  test('sends nothing before it knows the receiver, then a window', () => {
    const outbox = filled(5, { windowMax: 3 })
    expect(taken(outbox)).toEqual([])
    outbox.confirmed(confirmed(0))
    expect(taken(outbox)).toEqual([1, 2, 3])
    expect(taken(outbox)).toEqual([])
    expect(outbox.confirmed(confirmed(2)).map(({ message }) => message)).toEqual([1, 2])
    expect(taken(outbox)).toEqual([4, 5])
  })

  test('says full above its bound, and holds no more than the receiver wants on its way', () => {
    const outbox = filled(4, { bufferMax: 4 })
    expect(outbox.push({ message: 5, acceptedAt: 5, settle: undefined })).toBe('full')
    outbox.confirmed(confirmed(0, 1, 0, 2))
    expect(taken(outbox)).toEqual([1, 2])
  })

  test('sends again what did not arrive, and everything to another life of the receiver', () => {
    const outbox = filled(4)
    outbox.confirmed(confirmed(0))
    expect(taken(outbox)).toEqual([1, 2, 3, 4])
    outbox.confirmed(confirmed(1, 1, 3))
    expect(taken(outbox)).toEqual([2, 3, 4])
    outbox.confirmed(confirmed(1, 2))
    expect(taken(outbox)).toEqual([2, 3, 4])
    expect(outbox.confirmed(confirmed(2, 1))).toEqual([])
    expect([outbox.settled, outbox.session?.receiver]).toEqual([1, 2])
  })

  test('is not opened by an answer of a life that is known to be dead', () => {
    const outbox = filled(1)
    outbox.lost(1)
    outbox.confirmed(confirmed(0))
    expect(outbox.session).toBeUndefined()
  })

  test('gives up from the front, and takes a misunderstood one out of it only there', () => {
    const outbox = filled(4, { giveUpMs: 10 })
    expect(outbox.expire(12).map(({ message }) => message)).toEqual([1, 2])
    expect(outbox.misunderstood(4)).toBeUndefined()
    expect(outbox.misunderstood(3)?.message).toBe(3)
    expect([outbox.settled, outbox.pending, outbox.expiresAt]).toEqual([3, 1, 14])
  })

  test('takes no confirmation of what it never accepted', () => {
    const outbox = filled(2)
    expect(outbox.confirmed(confirmed(3))).toEqual([])
    expect([outbox.settled, outbox.session]).toEqual([0, undefined])
  })
})

// Both ends over a channel that is a bag: anything in it may be carried, in any order, or lost, or
// carried and kept.
describe('outbox and inbox together', () => {
  const steps = fc.array(
    fc.oneof(
      { weight: 3, arbitrary: fc.constant('send' as const) },
      { weight: 8, arbitrary: fc.record({ carry: fc.nat(1_000), keeps: fc.boolean() }) },
      { weight: 2, arbitrary: fc.record({ lose: fc.nat(1_000) }) },
      { weight: 2, arbitrary: fc.constant('probe' as const) },
      { weight: 1, arbitrary: fc.constant('crash' as const) },
      { weight: 1, arbitrary: fc.constant('down' as const) },
      { weight: 1, arbitrary: fc.constant('forget' as const) },
    ),
    { maxLength: 150, size: 'max' },
  )
  const given = fc.record({ steps, windowMax: fc.integer({ min: 1, max: 5 }) })

  test('lose nothing, keep the order, and handle nothing again that is confirmed', () => {
    fc.assert(
      fc.property(given, ({ steps: taken, windowMax }) => {
        const pair = createPair(windowMax)
        for (const step of taken) {
          if (step === 'send') pair.send()
          else if (step === 'probe') pair.probe()
          else if (step === 'crash') pair.crash()
          else if (step === 'down') pair.down()
          else if (step === 'forget') pair.forget()
          else if ('carry' in step) pair.carry(step.carry, step.keeps)
          else pair.lose(step.lose)
        }
        pair.finish()
        expect(pair.outbox.pending).toBe(0)
        expect(pair.everHandled).toEqual(new Set(countTo(pair.sent)))
        for (const run of pair.runs) {
          expect(run).toEqual(countTo(run.length).map((index) => run[0]! + index - 1))
        }
        expect(pair.handledThoughConfirmed).toEqual([])
      }),
      { numRuns: 500 },
    )
  })
})

const countTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)

type Parcel = Omit<Delivery<number>, 'producer'> | DeliveryAnswer

function createPair(windowMax: number) {
  const limits = { windowMax, producersMax: 4 }
  const outbox = createOutbox<number>({ ...outboxLimits, windowMax })
  const bag: Parcel[] = []
  const everHandled = new Set<number>()
  /** What was handled without a break: a new run begins where the receiver's memory does. */
  const runs: number[][] = [[]]
  const handledThoughConfirmed: number[] = []
  let incarnation = 1
  let inbox: Inbox = createInbox(incarnation, limits)
  let sent = 0

  const pump = (): void => {
    const { receiver = 0, opening = 0 } = outbox.session ?? {}
    const { settled } = outbox
    for (const { sequence, message, answer } of outbox.take()) {
      const heading = { life: 1, settled, receiver, opening, sequence }
      bag.push({ type: 'deliver', ...heading, answer, message } as Parcel)
    }
  }
  const answer = (upTo: number): void => {
    const progress = inbox.progress('p', upTo)
    bag.push({ type: 'confirmed', life: 1, receiver: incarnation, window: windowMax, ...progress })
  }
  const probe = (): void => {
    const { settled, sent: told } = outbox
    bag.push({ type: 'deliver-probe', life: 1, settled, sent: told } as Parcel)
  }
  const arrive = (parcel: Parcel): void => {
    if (parcel.type === 'deliver-probe') {
      const { settled, sent: told } = parcel as Extract<Delivery<number>, { sent: number }>
      inbox.open('p', 1, settled)
      return answer(told)
    }
    if (parcel.type === 'deliver') {
      const delivery = parcel as Extract<Delivery<number>, { type: 'deliver' }>
      const verdict = inbox.judge('p', delivery)
      if (verdict === 'handle') {
        if (delivery.sequence <= outbox.settled) handledThoughConfirmed.push(delivery.message)
        everHandled.add(delivery.message)
        runs.at(-1)!.push(delivery.message)
        inbox.handled('p', delivery.sequence)
      }
      if (verdict === 'unknown-producer') {
        bag.push({ type: 'unknown', life: 1 })
      } else if (delivery.answer || (verdict === 'early' && inbox.reportsGap('p'))) {
        answer(delivery.sequence)
      }
      return expect(verdict).not.toBe('bad-sequence')
    }
    if (parcel.type === 'unknown' && outbox.session) {
      outbox.lost()
      probe()
    }
    if (parcel.type === 'confirmed') outbox.confirmed(parcel)
    pump()
  }
  const begin = (): void => void (runs.at(-1)!.length > 0 && runs.push([]))

  return {
    outbox,
    runs,
    everHandled,
    handledThoughConfirmed,
    get sent() {
      return sent
    },
    send() {
      outbox.push({ message: ++sent, acceptedAt: 0, settle: undefined })
      pump()
    },
    probe,
    crash() {
      inbox = createInbox(++incarnation, limits)
      begin()
    },
    down: () => outbox.lost(incarnation - 1),
    forget() {
      inbox.close('p', 1)
      begin()
    },
    carry(choice: number, keeps: boolean) {
      if (bag.length === 0) return
      const [parcel] = bag.splice(choice % bag.length, 1)
      if (keeps && bag.length < 200) bag.push(parcel!)
      arrive(parcel!)
    },
    lose: (choice: number) => void (bag.length > 0 && bag.splice(choice % bag.length, 1)),
    /** From here on the channel is a good one: what comes first is carried first. */
    finish() {
      for (let round = 0; outbox.pending > 0 && round < 1_000; round++) {
        probe()
        for (let parcel = bag.shift(); parcel; parcel = bag.shift()) arrive(parcel)
        pump()
      }
    },
  }
}
