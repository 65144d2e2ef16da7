// Money moves between two accounts while their processes are killed. `deliver` sees to it that no entry
// is lost; that none is booked twice is up to the accounts, which know each entry by its number.
//   bun examples/bank-transfer.ts [seed]
//   bun examples/bank-transfer.ts [seed] --trusting    accounts that book whatever comes: watch it fail
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AskError,
  createDeliveries,
  createPool,
  createSystem,
  type Delivery,
  realEnvironment,
} from 'troupe/runtime'
import type { AccountMessage, Balance } from './bank-transfer/account.ts'

const TRANSFERS = 200
const KILLS = 6
const OPENING = 10_000
const owners = ['alice', 'bruno'] as const
type Owner = (typeof owners)[number]

const trusting = process.argv.includes('--trusting')
const seed = process.argv.slice(2).find((argument) => argument !== '--trusting') ?? '1'
const environment = realEnvironment({ seed })
const { random } = environment
const pause = (ms: number): Promise<void> =>
  new Promise((done) => environment.clock.after(ms, done))

const folder = mkdtempSync(join(tmpdir(), 'bank-'))
const system = createSystem({ environment, member: 'bank' })
const pool = createPool({
  system,
  module: new URL('./bank-transfer/worker.ts', import.meta.url).href,
  limits: { restartDelayMs: 20, restartDelayMsMax: 100 },
})

for (const name of owners) {
  const config = { folder: join(folder, name), opening: OPENING, trusting }
  pool.start({
    name,
    restartLimit: { restartsMax: 100, windowMs: 60_000 },
    actors: () => [{ kind: 'account', name: 'account', config }],
    onEvent(event) {
      if (event.type === 'exited' && event.exit.code !== 0)
        console.log(`  ${name} dies: ${event.cause}`)
      if (event.type === 'ready') console.log(`  ${name} is there, life ${event.incarnation}`)
    },
  })
}

const accountOf = (member: Owner) =>
  system.ref<AccountMessage | Delivery<AccountMessage>>({ member, path: '/account' })
const deliveriesTo = {
  alice: createDeliveries<AccountMessage>(system, accountOf('alice'), { name: 'to-alice' }),
  bruno: createDeliveries<AccountMessage>(system, accountOf('bruno'), { name: 'to-bruno' }),
}

/** Ends when both accounts have confirmed: each entry has been handled at least once. */
async function move(transfer: number, from: Owner, to: Owner, amount: number): Promise<void> {
  await deliveriesTo[from].deliver({ type: 'withdraw', transfer, amount })
  await deliveriesTo[to].deliver({ type: 'deposit', transfer, amount })
}

async function balanceOf(owner: Owner): Promise<Balance> {
  for (;;) {
    try {
      return await system.ask(accountOf(owner), { type: 'balance' }, { timeoutMs: 1_000 })
    } catch (error) {
      if (!(error instanceof AskError && error.retryable)) throw error
      await pause(20)
    }
  }
}

console.log(`seed ${seed}: ${owners.join(' and ')} have ${OPENING} each`)
await Promise.all(owners.map(balanceOf))

const moves: Promise<void>[] = []
const expected = { alice: OPENING, bruno: OPENING }
for (let transfer = 1; transfer <= TRANSFERS; transfer++) {
  const [from, to] = random.next() < 0.5 ? owners : (['bruno', 'alice'] as const)
  const amount = 1 + random.below(100)
  expected[from] -= amount
  expected[to] += amount
  moves.push(move(transfer, from, to, amount))
  if (transfer % Math.floor(TRANSFERS / KILLS) === 0) {
    pool.workers.get(owners[random.below(2)] ?? 'alice')?.kill('SIGKILL')
  }
  await pause(5)
}
await Promise.all(moves)
console.log(`${TRANSFERS} transfers are confirmed`)

const [alice, bruno] = await Promise.all([balanceOf('alice'), balanceOf('bruno')])
await pool.stop()
system.stop()
rmSync(folder, { recursive: true })

const total = alice.balance + bruno.balance
const isRight = alice.balance === expected.alice && bruno.balance === expected.bruno
console.log(`alice has ${alice.balance}, bruno ${bruno.balance}: ${total} in all`)
console.log(`${alice.repeated + bruno.repeated} entries came a second time`)
console.log(isRight ? 'the books balance' : 'THE BOOKS DO NOT BALANCE')
process.exitCode = isRight ? 0 : 1
