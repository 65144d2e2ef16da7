// Deliveries between real actors: on one member, across members, through crashes, cuts and full
// mailboxes. All on virtual time; every random run is named by its seed.
import { describe, expect, test } from 'bun:test'
import type { Limits } from '../../../protocol/limits.ts'
import { type Random, randomFor } from '../../../protocol/random.ts'
import { type Infer, text, u32, union } from '../../../protocol/schema.ts'
import {
  type ActorDefinition,
  type Behavior,
  become,
  createDeliveries,
  createSystem,
  defineActor,
  type Deliveries,
  type Delivery,
  DeliveryError,
  deliver,
  deliverable,
  next,
  type Ref,
  type SpawnOptions,
  type System,
} from '../../../runtime/index.ts'
import { createWorld, type World } from '../../../runtime/simulation/world.ts'

const NoteMessage = union({ note: { value: u32 }, crash: { cause: text } })
type NoteMessage = Infer<typeof NoteMessage>

interface Notebook {
  /** Values by life, in the order in which they were handled. */
  readonly lives: number[][]
  /** Throws from inside the turn, before or after the value was noted. */
  fails?: (value: number) => 'before' | 'after' | undefined
}

const notes: ActorDefinition<Notebook, Notebook, NoteMessage> = {
  kind: 'notes',
  protocol: NoteMessage,
  config: { decode: (value) => value as Notebook },
  start(notebook) {
    notebook.lives.push([])
    return notebook
  },
  receive(notebook, message) {
    if (message.type === 'crash') throw new RangeError(message.cause)
    const failure = notebook.fails?.(message.value)
    if (failure === 'before') throw new RangeError('before it was noted')
    notebook.lives.at(-1)!.push(message.value)
    if (failure === 'after') throw new RangeError('after it was noted')
    return next(notebook)
  },
}
const deliverableNotes = deliverable(notes)
type NotesRef = Ref<NoteMessage | Delivery<NoteMessage>>

const lasting: Pick<SpawnOptions, 'restart' | 'restartLimit'> = {
  restart: 'permanent',
  restartLimit: { restartsMax: 1_000_000, windowMs: 1_000 },
}

function startMember(world: World, member: string, limits: Partial<Limits> = {}): System {
  return createSystem({ environment: world.environment(member), member, limits })
}

function startNotes(system: System, options: Partial<SpawnOptions> = {}) {
  const notebook: Notebook = { lives: [] }
  const ref = system.spawn(deliverableNotes, notebook, { name: 'notes', ...lasting, ...options })
  return { notebook, ref }
}

async function startPair(limits: Partial<Limits> = {}, options: Partial<SpawnOptions> = {}) {
  const world = createWorld()
  const near = startMember(world, 'near', limits)
  const far = startMember(world, 'far', limits)
  const { notebook, ref } = startNotes(far, options)
  await join(world, far, near)
  const remote: NotesRef = near.ref(ref.address)
  return { world, near, far, notebook, remote }
}

async function join(world: World, system: System, control: System): Promise<void> {
  const joined = system.join(await control.listen())
  await world.clock.advance(20)
  await joined
}

const note = (value: number): NoteMessage => ({ type: 'note', value })
const countTo = (count: number): number[] => Array.from({ length: count }, (_, i) => i + 1)
const failureOf = (sent: Promise<void>): Promise<string> =>
  sent.then(
    () => 'confirmed',
    (error: unknown) => (error instanceof DeliveryError ? error.failure : String(error)),
  )

describe('on one member', () => {
  test('a thousand messages are handled once and in order, and confirmed', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const { notebook, ref } = startNotes(system)
    const deliveries = createDeliveries(system, ref)
    for (const value of countTo(1_000)) expect(deliveries.send(note(value))).toBe('accepted')
    expect(deliveries.send(note(1_001))).toBe('full')
    await world.clock.advance(10_000)
    expect(notebook.lives).toEqual([countTo(1_000)])
    expect(deliveries.pending).toBe(0)
    // Nothing waits any more, so nothing is probed any more.
    expect(world.clock.timers).toBe(0)
  })

  test('the actor takes plain messages as before', async () => {
    const world = createWorld()
    const { notebook, ref } = startNotes(startMember(world, 'a'))
    ref.tell(note(7))
    await world.clock.advance(1)
    expect(notebook.lives).toEqual([[7]])
  })

  test('a turn that throws is not confirmed: the next life gets the message again', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const { notebook, ref } = startNotes(system)
    let failures = 0
    notebook.fails = (value) => (value === 3 && failures++ < 2 ? 'before' : undefined)
    const deliveries = createDeliveries(system, ref)
    for (const value of countTo(5)) deliveries.send(note(value))
    await world.clock.advance(2_000)
    expect(notebook.lives.flat().filter((value) => value === 3)).toEqual([3])
    expect(new Set(notebook.lives.flat())).toEqual(new Set(countTo(5)))
    // No life handles anything twice; what was not yet confirmed begins the next one.
    expect(notebook.lives.at(-1)).toEqual(notebook.lives.at(-1)!.toSorted((a, b) => a - b))
    expect(deliveries.pending).toBe(0)
  })

  test('the death of a receiver is heard of at once, not at the next probe', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const { notebook, ref } = startNotes(system)
    let failures = 0
    notebook.fails = (value) => (value === 3 && failures++ < 1 ? 'before' : undefined)
    const backoff = { delayMs: 60_000, delayMsMax: 60_000 }
    const deliveries = createDeliveries(system, ref, { backoff })
    for (const value of countTo(5)) deliveries.send(note(value))
    await world.clock.advance(10)
    expect(notebook.lives.at(-1)).toContain(5)
    expect(deliveries.pending).toBe(0)
  })

  test('a slow receiver gets nothing twice: what is asked for again is the state, not the message', async () => {
    const world = createWorld()
    const system = startMember(world, 'a', { mailboxMessagesMax: 8 })
    const { notebook, ref } = startNotes(system)
    const deliveries = createDeliveries(system, ref)
    for (const value of countTo(300)) deliveries.send(note(value))
    await world.clock.advance(20_000)
    expect(notebook.lives).toEqual([countTo(300)])
  })

  test('deliver resolves once confirmed, and rejects by name', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const { notebook, ref } = startNotes(system)
    const sent = deliver(system, ref, note(1))
    await world.clock.advance(10)
    await sent
    expect(notebook.lives).toEqual([[1]])

    const nobody: NotesRef = system.ref({ member: 'a', path: '/nobody' })
    const late = failureOf(deliver(system, nobody, note(2), { timeoutMs: 500 }))
    const abort = new AbortController()
    const cancelled = failureOf(deliver(system, nobody, note(3), { signal: abort.signal }))
    abort.abort()
    await world.clock.advance(600)
    expect([await late, await cancelled]).toEqual(['given-up', 'cancelled'])
    expect(await failureOf(deliver(system, nobody, note(4), { signal: abort.signal }))).toBe(
      'cancelled',
    )
    // No courier is left behind.
    expect(system.actors().map(({ kind }) => kind)).not.toContain('courier')
  })

  test('what is pending when the producer ends is cancelled, and so is what comes after', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const outcomes: Promise<string>[] = []
    let deliveries: Deliveries<NoteMessage> | undefined
    const producer: ActorDefinition<undefined, null, { readonly type: 'note' }> = {
      kind: 'producer',
      protocol: { decode: () => ({ type: 'note' }) },
      config: { decode: () => undefined },
      start(_, context) {
        const nobody: NotesRef = system.ref({ member: 'a', path: '/nobody' })
        deliveries = createDeliveries(context, nobody)
        outcomes.push(failureOf(deliveries.deliver(note(1))))
        return null
      },
      receive: (state) => next(state),
    }
    const ref = system.spawn(producer, undefined, { name: 'producer' })
    await world.clock.advance(100)
    system.stopActor(ref)
    await world.clock.advance(1)
    expect(await outcomes[0]).toBe('cancelled')
    expect(deliveries?.send(note(2))).toBe('stopped')
    expect(await failureOf(deliveries!.deliver(note(2)))).toBe('cancelled')
    expect(world.clock.timers).toBe(0)
  })

  test('a producer that broke the rules, or has a successor, is refused by name', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const { notebook, ref } = startNotes(system)
    const answers: unknown[] = []
    const producer = {
      address: { member: 'a', path: '/forger' },
      tell(answer: unknown) {
        answers.push(answer)
        return 'accepted' as const
      },
    }
    const probe = (life: number): void =>
      void ref.tell({ type: 'deliver-probe', producer, life, settled: 0, sent: 0 })
    const forged = { type: 'deliver', producer, settled: 0, opening: 1, answer: true } as const
    probe(5)
    await world.clock.advance(1)
    const [{ receiver }] = answers as [{ receiver: number }]
    for (const sequence of [0, 51]) {
      ref.tell({ ...forged, life: 5, receiver, sequence, message: note(9) })
    }
    ref.tell({ ...forged, life: 4, receiver, sequence: 1, message: note(9) })
    probe(4)
    await world.clock.advance(1)
    expect(answers.slice(1)).toEqual([
      { type: 'refused', life: 5, reason: 'bad-sequence' },
      { type: 'refused', life: 5, reason: 'bad-sequence' },
      { type: 'refused', life: 4, reason: 'former-life' },
      { type: 'refused', life: 4, reason: 'former-life' },
    ])
    expect(notebook.lives).toEqual([[]])
  })

  test('producers beyond the bound are forgotten, and still lose nothing', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const notebook: Notebook = { lives: [] }
    const forgetful = deliverable(notes, { producersMax: 2, windowMax: 4 })
    const ref = system.spawn(forgetful, notebook, { name: 'notes' })
    const names = ['p', 'q', 'r', 's']
    const producers = names.map((name) => createDeliveries(system, ref, { name }))
    for (const value of countTo(40)) {
      producers.forEach((deliveries, index) => deliveries.send(note(1_000 * index + value)))
      if (value % 7 === 0) await world.clock.advance(3)
    }
    await world.clock.advance(60_000)
    expect(producers.map(({ pending }) => pending)).toEqual([0, 0, 0, 0])
    const handled = notebook.lives.flat()
    names.forEach((_, index) => {
      const own = new Set(handled.filter((value) => Math.floor(value / 1_000) === index))
      expect(own).toEqual(new Set(countTo(40).map((value) => 1_000 * index + value)))
    })
  })
})

const GateMessage = union({ note: { value: u32 }, open: {} })
type GateMessage = Infer<typeof GateMessage>

/** Puts notes aside until it is opened, and then becomes what handles them. */
function gateOf(handled: number[]) {
  const opened: Behavior<number[], GateMessage> = {
    receive(values, message) {
      if (message.type === 'note') values.push(message.value)
      return next(values)
    },
  }
  return deliverable(
    defineActor({
      kind: 'gate',
      protocol: GateMessage,
      start: () => null,
      receive(state, message: GateMessage, { stash, unstash }) {
        if (message.type === 'note') {
          stash()
          return next(state)
        }
        unstash()
        return become(opened, handled)
      },
    }),
  )
}

describe('a deliverable actor', () => {
  test('that stashes a delivery confirms it once it is handled, and handles it once', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const handled: number[] = []
    const ref = system.spawn(gateOf(handled), undefined, { name: 'gate' })
    const deliveries = createDeliveries<GateMessage>(system, ref)
    for (const value of countTo(3)) deliveries.send({ type: 'note', value })
    await world.clock.advance(5_000)
    expect([handled, deliveries.pending]).toEqual([[], 3])
    ref.tell({ type: 'open' })
    for (const value of [4, 5]) deliveries.send({ type: 'note', value })
    await world.clock.advance(5_000)
    expect([handled, deliveries.pending]).toEqual([countTo(5), 0])
  })

  test('that dies with deliveries in its stash gets them again', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const handled: number[] = []
    const ref = system.spawn(gateOf(handled), undefined, { name: 'gate' })
    const deliveries = createDeliveries<GateMessage>(system, ref)
    for (const value of countTo(3)) deliveries.send({ type: 'note', value })
    await world.clock.advance(500)
    system.stopActor(ref)
    await world.clock.advance(500)
    const again = system.spawn(gateOf(handled), undefined, { name: 'gate' })
    await world.clock.advance(2_000)
    again.tell({ type: 'open' })
    await world.clock.advance(2_000)
    expect([handled, deliveries.pending]).toEqual([countTo(3), 0])
  })

  test('hears how its former life ended', async () => {
    const world = createWorld()
    const system = startMember(world, 'a')
    const ends: string[] = []
    const ref = system.spawn(
      deliverable({
        ...notes,
        restarted(state, { type }) {
          ends.push(type)
          return state
        },
      }),
      { lives: [] },
      { name: 'notes', ...lasting },
    )
    await world.clock.advance(1)
    ref.tell({ type: 'crash', cause: 'as told' })
    await world.clock.advance(100)
    expect(ends).toEqual(['crashed'])
  })
})

describe('across members', () => {
  test('cuts lose nothing and double nothing', async () => {
    const { world, near, notebook, remote } = await startPair()
    const deliveries = createDeliveries(near, remote)
    for (const value of countTo(400)) {
      deliveries.send(note(value))
      if (value % 100 === 50) world.network.cut()
      if (value % 10 === 0) await world.clock.advance(2)
    }
    await world.clock.advance(5_000)
    expect(notebook.lives).toEqual([countTo(400)])
    expect(deliveries.pending).toBe(0)
  })

  test('a mailbox that refuses on the far side delays, and loses nothing', async () => {
    const { world, near, notebook, remote } = await startPair({}, { mailboxMessagesMax: 5 })
    const deliveries = createDeliveries(near, remote)
    for (const value of countTo(200)) deliveries.send(note(value))
    await world.clock.advance(60_000)
    expect(notebook.lives).toEqual([countTo(200)])
    expect(deliveries.pending).toBe(0)
  })

  test('a message that the far protocol does not know is refused by name, and delays no other', async () => {
    const { world, near, notebook, remote } = await startPair()
    const deliveries = createDeliveries(near, remote)
    const before = failureOf(deliveries.deliver(note(1)))
    const wrong = failureOf(deliveries.deliver({ type: 'note', value: -1 }))
    const after = failureOf(deliveries.deliver(note(2)))
    await world.clock.advance(1_000)
    expect([await before, await wrong, await after]).toEqual([
      'confirmed',
      'misunderstood',
      'confirmed',
    ])
    expect(notebook.lives).toEqual([[1, 2]])
  })

  test('a partition longer than the window of the member only delays, once it is back', async () => {
    const { world, near, far, notebook, remote } = await startPair()
    const deliveries = createDeliveries(near, remote)
    deliveries.send(note(1))
    await world.clock.advance(50)
    near.markLost('far', far.incarnation, 'its process has exited')
    far.stop()
    for (const value of [2, 3]) deliveries.send(note(value))
    await world.clock.advance(2_000)
    expect(deliveries.pending).toBe(2)
    const again = createSystem({
      environment: world.environment('far', 2),
      member: 'far',
      incarnation: 2,
    })
    again.spawn(deliverableNotes, notebook, { name: 'notes', ...lasting })
    await join(world, again, near)
    await world.clock.advance(2_000)
    expect(notebook.lives).toEqual([[1], [2, 3]])
    expect(deliveries.pending).toBe(0)
  })
})

describe('under random faults', () => {
  const seeds = countTo(30).map((index) => `delivery-${index}`)
  for (const seed of seeds) {
    test(`nothing is lost, nothing handled twice in a life, order per producer: seed ${seed}`, async () => {
      const random = randomFor(seed)
      const { world, near, notebook, remote } = await startPair(
        {},
        { mailboxMessagesMax: 4 + random.below(60) },
      )
      notebook.fails = () => {
        const chance = random.next()
        return chance < 0.01 ? 'before' : chance < 0.02 ? 'after' : undefined
      }
      const sent = await sendUnderFaults(world, near, remote, random)
      notebook.fails = () => undefined
      await world.clock.advance(30_000)
      judge(notebook, sent)
    })
  }
})

interface Sent {
  readonly producer: number
  /** All that the last life of the producer accepted. */
  readonly owed: number[]
  readonly deliveries: Deliveries<NoteMessage>
}

const OF_PRODUCER = 100_000

async function sendUnderFaults(
  world: World,
  system: System,
  target: NotesRef,
  random: Random,
): Promise<readonly Sent[]> {
  const begin = (producer: number, life: number): Sent => ({
    producer,
    owed: [],
    deliveries: createDeliveries(system, target, { name: `p${producer}-${life}`, windowMax: 9 }),
  })
  const sent = countTo(3).map((producer) => begin(producer, 0))
  let value = 0
  for (let step = 1; step <= 150; step++) {
    for (const { producer, owed, deliveries } of sent) {
      const message = OF_PRODUCER * producer + ++value
      if (random.next() < 0.7 && deliveries.send(note(message)) === 'accepted') owed.push(message)
    }
    const chance = random.next()
    if (chance < 0.05) world.network.cut()
    else if (chance < 0.1) target.tell({ type: 'crash', cause: seedless })
    else if (chance < 0.12) {
      const index = random.below(sent.length)
      sent[index]!.deliveries.close()
      sent[index] = begin(index + 1, step)
    } else if (chance < 0.15) world.network.clog()
    else world.network.heal()
    await world.clock.advance(random.below(40))
  }
  world.network.heal()
  return sent
}

const seedless = 'a crash beside the deliveries'

function judge({ lives }: Notebook, sent: readonly Sent[]): void {
  const handled = new Set(lives.flat())
  for (const { owed, deliveries } of sent) {
    expect(deliveries.pending).toBe(0)
    expect(owed.filter((value) => !handled.has(value))).toEqual([])
  }
  for (const life of lives) {
    expect(new Set(life).size).toBe(life.length)
    for (const { producer } of sent) {
      const own = life.filter((value) => Math.floor(value / OF_PRODUCER) === producer)
      expect(own).toEqual(own.toSorted((a, b) => a - b))
    }
  }
}
