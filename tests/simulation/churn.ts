// Members join, die, hang, are cut off and come back, while their actors tell, ask, watch and crash. In the
// end everything is healed, and then everything must work again.
import { type Random, shuffle } from '../../protocol/random.ts'
import { createPool, type Pool, type Ref } from '../../runtime/index.ts'
import type { KitEvent, Simulation, TestKit } from '../../runtime/simulation/index.ts'
import { createLedger, type Ledger } from './ledger.ts'
import { hostOf, type PeerMessage } from './peers.ts'

const WORKERS = ['w0', 'w1', 'w2', 'w3']
const MEMBERS = ['control', ...WORKERS]
const PEERS = ['p0', 'p1', 'p2']
const ASK_MS = 2_000
/** Longer than every time-out, so that what has not ended by then never will. */
const RECOVERY_MS = 60_000

interface Churn {
  readonly kit: TestKit
  readonly ledger: Ledger
  readonly pool: Pool
  readonly random: Random
  readonly frozen: Set<string>
  /** `observer lost member` -> how often. */
  readonly losses: Map<string, number>
}

const MAILBOX_MAX = 1_024
const TIMERS_MAX = 20_000

export const churnOptions = { limits: { mailboxMessagesMax: MAILBOX_MAX }, jitterMs: 3 } as const

export async function churn(kit: TestKit, { steps }: Simulation): Promise<Ledger> {
  const ledger = createLedger(() => kit.clock.now())
  const host = hostOf(ledger)
  const pool = createPool({
    system: kit.control,
    module: kit.workerModule([host]),
    limits: { startFailuresMax: 1_000 },
  })
  const churning: Churn = {
    kit,
    ledger,
    pool,
    random: kit.random,
    frozen: new Set(),
    losses: new Map(),
  }
  kit.control.spawn(host, { peers: PEERS }, { name: 'host' })
  for (const name of WORKERS) startWorker(churning, name)
  kit.inspect((heard) => observe(churning, heard))
  for (let step = 0; step < steps; step++) {
    act(churning)
    await kit.advance(kit.random.below(40))
    check(churning)
  }
  await recover(churning)
  await end(churning)
  return ledger
}

function startWorker({ pool, ledger }: Churn, name: string): void {
  pool.start({
    name,
    restartLimit: { restartsMax: 1_000, windowMs: 60_000 },
    actors: () => [{ kind: 'host', name: 'host', config: { peers: PEERS } }],
    onEvent: ({ type }) => {
      if (type === 'exited') ledger.memberEnded(name)
    },
  })
}

/** Action -> how likely, beside the others. */
const actions: readonly [number, (churning: Churn) => void][] = [
  [30, tellSome],
  [6, tellALife],
  [16, askFromOutside],
  [10, askBetweenActors],
  [10, watchSomebody],
  [4, (c) => void peer(c, someSender(c)).tell({ type: 'crash' })],
  [3, (c) => void peer(c, someSender(c)).tell({ type: 'finish' })],
  [3, impair],
  [1, (c) => c.pool.workers.get(some(c, WORKERS))?.kill('SIGKILL')],
  [1, freeze],
  [4, thaw],
  [2, disturb],
  [4, (c) => c.kit.network.heal(some(c, [...MEMBERS, '*']), some(c, [...MEMBERS, '*']))],
  [2, (c) => c.kit.network.cut(some(c, MEMBERS), some(c, [...MEMBERS, '*']))],
]
const weight = actions.reduce((sum, [each]) => sum + each, 0)

function act(churning: Churn): void {
  let drawn = churning.random.below(weight)
  for (const [each, run] of actions) {
    drawn -= each
    if (drawn < 0) return run(churning)
  }
}

const some = <T>({ random }: Churn, from: readonly T[]): T => from[random.below(from.length)]!

/** A member that runs code now. */
function someSender(churning: Churn): string {
  const able = MEMBERS.filter((name) => !churning.frozen.has(name) && systemOf(churning, name))
  return some(churning, able)
}

function systemOf({ kit }: Churn, name: string) {
  return kit.members.includes(name) ? kit.member(name) : undefined
}

function peer(churning: Churn, sender: string): Ref<PeerMessage> {
  const path = `/host/${some(churning, PEERS)}`
  return churning.kit.member(sender).ref({ member: some(churning, MEMBERS), path })
}

function tellSome(churning: Churn): void {
  const { ledger, losses, random } = churning
  const name = someSender(churning)
  const sender = `${name}@${churning.kit.member(name).incarnation}`
  const ref = peer(churning, name)
  const receiver = `${ref.address.member}${ref.address.path}`
  for (let count = random.below(20); count >= 0; count--) {
    const note = {
      type: 'note' as const,
      sender,
      receiver,
      sequence: ledger.nextSequence(sender, receiver),
      losses: losses.get(`${sender} lost ${ref.address.member}`) ?? 0,
      intended: 0,
      padding: 'x'.repeat(random.below(10) === 0 ? random.below(50_000) : 10),
    }
    // What was refused in the same tick has not used up its number.
    if (ref.tell(note) !== 'accepted') ledger.takeBack(sender, receiver)
  }
}

function tellALife(churning: Churn): void {
  const { kit, ledger } = churning
  const name = someSender(churning)
  const target = some(churning, MEMBERS)
  const path = `/host/${some(churning, PEERS)}`
  const known = systemOf(churning, target)
    ?.actors()
    .find((actor) => actor.path === path)
  if (!known || known.incarnation === 0) return
  const { incarnation } = known
  const sender = `${name}@${kit.member(name).incarnation}`
  const receiver = `${target}${path}#${incarnation}`
  const tell = (): void => {
    if (churning.frozen.has(name) || !kit.members.includes(name)) return
    if (`${name}@${kit.member(name).incarnation}` !== sender) return
    const sequence = ledger.nextSequence(sender, receiver)
    const ref = kit.member(name).ref<PeerMessage>({ member: target, path, incarnation })
    ref.tell({
      type: 'note',
      sender,
      receiver,
      sequence,
      losses: 0,
      intended: incarnation,
      padding: '',
    })
  }
  tell()
  // And again when that life may be over.
  kit.clock.after(churning.random.below(5_000), tell)
}

function askFromOutside(churning: Churn): void {
  const name = someSender(churning)
  const system = churning.kit.member(name)
  const ref = peer(churning, name)
  const { random, ledger } = churning
  const timeoutMs = 1 + random.below(ASK_MS)
  const asker = `${name}/@${system.incarnation}`
  ledger.born(asker)
  ledger.ask(asker, timeoutMs, (id) =>
    random.below(2) === 0
      ? system.ask(ref, { type: 'echo', id }, { timeoutMs })
      : system.ask(ref, { type: 'hold', id, ms: random.below(ASK_MS) }, { timeoutMs }),
  )
}

function askBetweenActors(churning: Churn): void {
  const { random } = churning
  const sender = someSender(churning)
  const target = peer(churning, sender) as Ref<never>
  const ms = random.below(ASK_MS)
  peer(churning, sender).tell({ type: 'askOf', target, ms, timeoutMs: 1 + random.below(ASK_MS) })
}

function watchSomebody(churning: Churn): void {
  const sender = someSender(churning)
  peer(churning, sender).tell({ type: 'watch', target: peer(churning, sender) as Ref<never> })
}

function impair(churning: Churn): void {
  const { faults } = churning.kit
  const path = `/host/${some(churning, PEERS)}`
  const member = some(churning, MEMBERS)
  const fault = some(churning, ['crash', 'stop', 'delay', 'crash after'] as const)
  if (fault === 'delay') faults.delay(path, { member, ms: 1 + churning.random.below(500) })
  else if (fault === 'crash after') faults.crash(path, { member, when: 'after' })
  else faults[fault](path, { member })
}

function freeze(churning: Churn): void {
  const name = some(churning, WORKERS)
  if (!churning.kit.members.includes(name)) return
  churning.frozen.add(name)
  churning.pool.workers.get(name)?.kill('SIGSTOP')
}

function thaw(churning: Churn): void {
  const [name] = shuffle([...churning.frozen], churning.random)
  if (name === undefined) return
  churning.frozen.delete(name)
  churning.pool.workers.get(name)?.kill('SIGCONT')
}

function disturb(churning: Churn): void {
  const { kit, random } = churning
  const { network } = kit
  const [a, b] = [some(churning, MEMBERS), some(churning, [...MEMBERS, '*'])]
  const oneWay = random.below(2) === 0
  switch (random.below(5)) {
    case 0:
      return network.partition(a, b, { oneWay })
    case 1:
      return network.clog(a, b, { oneWay })
    case 2:
      return network.slow(a, b, { oneWay, bytesPerSecond: 2_000 + random.below(100_000) })
    case 3:
      return network.delay(a, b, { oneWay, latencyMs: random.below(500), jitterMs: 100 })
    default:
      return network.refuse(a, b, { oneWay, chance: 0.7 })
  }
}

function observe({ losses, ledger }: Churn, { member, incarnation, event }: KitEvent): void {
  if (event.type === 'full') ledger.refused(event.target.member)
  if (event.type !== 'member-lost') return
  const loss = `${member}@${incarnation} lost ${event.member}`
  losses.set(loss, (losses.get(loss) ?? 0) + 1)
}

function check({ kit, ledger }: Churn): void {
  for (const name of kit.members) {
    for (const { path, mailboxMessages } of kit.member(name).actors()) {
      if (mailboxMessages <= MAILBOX_MAX) continue
      throw new Error(`${name}${path} has a mailbox of ${mailboxMessages} messages`)
    }
  }
  if (kit.clock.timers > TIMERS_MAX) throw new Error(`${kit.clock.timers} timers are waiting`)
  const [violation] = ledger.violations
  if (violation !== undefined) throw new Error(violation)
}

/** Without faults everything comes back: every member, every actor, every path between them. */
async function recover(churning: Churn): Promise<void> {
  const { kit, ledger, pool, frozen } = churning
  kit.faults.clear()
  kit.network.heal()
  for (const name of frozen) pool.workers.get(name)?.kill('SIGCONT')
  frozen.clear()
  await kit.advance(RECOVERY_MS)
  for (const { name, state } of pool.workers.values()) {
    if (state !== 'ready') throw new Error(`${name} is ${state}, long after everything was healed`)
  }
  for (const from of MEMBERS) {
    const system = kit.member(from)
    for (const member of MEMBERS) {
      for (const name of PEERS) {
        const ref = system.ref<PeerMessage>({ member, path: `/host/${name}` })
        const answer = await kit.until(
          system.ask(ref, { type: 'echo', id: 7 }, { timeoutMs: 5_000 }),
        )
        if (answer !== 7) throw new Error(`${member}/host/${name} answered ${answer}`)
      }
    }
    // A member that was only out of reach is known again as soon as somebody has talked to it.
    const known = system.members().map(({ member }) => member)
    const unknown = MEMBERS.filter((member) => !known.includes(member))
    if (unknown.length > 0) throw new Error(`${from} does not know ${unknown.join(', ')} any more`)
  }
  ledger.close()
  check(churning)
}

/** When all workers are stopped, every watch of their actors has ended, and nothing is left of them. */
async function end(churning: Churn): Promise<void> {
  const { kit, ledger, pool } = churning
  await kit.until(pool.stop())
  await kit.advance(ASK_MS)
  for (const name of WORKERS) ledger.memberEnded(name)
  ledger.close()
  check(churning)
  const { control } = kit
  control.stop()
  await kit.advance(ASK_MS)
  const left = { timers: kit.clock.timers, connections: kit.network.connections }
  if (left.timers + left.connections > 0) {
    throw new Error(`left after the end: ${left.timers} timers, ${left.connections} connections`)
  }
}
