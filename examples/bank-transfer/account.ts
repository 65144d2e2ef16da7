// An account: what it was told lies in its journal before it answers, and it books no entry twice.
import {
  defineActor,
  deliverable,
  flag,
  type Infer,
  type Journal,
  next,
  openJournal,
  replyTo,
  struct,
  text,
  u32,
  union,
} from 'troupe/runtime'

const AccountMessage = union({
  withdraw: { transfer: u32, amount: u32 },
  deposit: { transfer: u32, amount: u32 },
  balance: { replyTo: replyTo<Balance>() },
})
export type AccountMessage = Infer<typeof AccountMessage>
type Entry = Exclude<AccountMessage, { type: 'balance' }>

export interface Balance {
  readonly balance: number
  /** Entries that came a second time. */
  readonly repeated: number
}

interface Account extends Balance {
  /** Transfers of one direction come in the order of their numbers: the last one is enough to know. */
  readonly last: { readonly withdraw: number; readonly deposit: number }
}

/** Of the entries, so many end the life of the account between its journal and its answer. */
const CRASHES = 0.02

export const account = deliverable(
  defineActor({
    kind: 'account',
    protocol: AccountMessage,
    config: struct({ folder: text, opening: u32, trusting: flag }),
    start({ folder, opening, trusting }, { environment }) {
      let account: Account = { balance: opening, repeated: 0, last: { withdraw: 0, deposit: 0 } }
      const replay = (record: Uint8Array): void => {
        const entry: Entry = JSON.parse(new TextDecoder().decode(record))
        account = book(account, entry, trusting)
      }
      const journal: Journal = openJournal(environment.disk, { folder, from: 0, replay })
      return { account, journal, trusting }
    },
    receive({ account, journal, trusting }, message: AccountMessage, { environment }) {
      if (message.type === 'balance') {
        const { balance, repeated } = account
        message.replyTo.tell({ balance, repeated })
        return next({ account, journal, trusting })
      }
      journal.append(new TextEncoder().encode(JSON.stringify(message)))
      if (environment.random.next() < CRASHES) throw new Error('struck between journal and answer')
      return next({ account: book(account, message, trusting), journal, trusting })
    },
  }),
)

/** What `deliver` leaves to the application: a repeated entry is known by its number. */
function book(account: Account, { type, transfer, amount }: Entry, trusting: boolean): Account {
  const isRepeated = transfer <= account.last[type]
  if (isRepeated && !trusting) return { ...account, repeated: account.repeated + 1 }
  const balance = account.balance + (type === 'deposit' ? amount : -amount)
  const last = { ...account.last, [type]: transfer }
  return { balance, last, repeated: account.repeated + (isRepeated ? 1 : 0) }
}
