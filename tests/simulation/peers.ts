// The actors of the churn: each host has some peers, which tell, ask, hold, watch and die as they are told.
import { type Infer, integer, list, replyTo, struct, text, union } from '../../protocol/schema.ts'
import { type ActorDefinition, type Context, next, type Ref, stop } from '../../runtime/index.ts'
import type { Ledger } from './ledger.ts'

export const PeerMessage = union({
  note: {
    sender: text,
    receiver: text,
    sequence: integer,
    losses: integer,
    intended: integer,
    padding: text,
  },
  echo: { id: integer, replyTo: replyTo<number>() },
  /** Answered after `ms`, or never where that is 0. */
  hold: { id: integer, ms: integer, replyTo: replyTo<number>() },
  /** Asks `target`, whose outcome is written down. */
  askOf: { target: replyTo<never>(), ms: integer, timeoutMs: integer },
  watch: { target: replyTo<never>() },
  crash: {},
  finish: {},
  release: { id: integer },
  asked: {},
})
export type PeerMessage = Infer<typeof PeerMessage>

type Held = Map<number, Ref<number>>

const HELD_MAX = 1_000

export const lifeOf = ({ self, incarnation }: Context<never>): string =>
  `${self.address.member}${self.address.path}#${incarnation}`

export function peerOf(ledger: Ledger): ActorDefinition<undefined, Held, PeerMessage> {
  return {
    kind: 'peer',
    protocol: PeerMessage,
    config: { decode: () => undefined },
    start(_, context) {
      ledger.born(lifeOf(context))
      return new Map()
    },
    receive(held, message, context) {
      const life = lifeOf(context)
      switch (message.type) {
        case 'note':
          ledger.received(life, context.incarnation, message)
          return next(held)
        case 'echo':
          message.replyTo.tell(message.id)
          return next(held)
        case 'hold':
          if (message.ms === 0 || held.size >= HELD_MAX) return next(held)
          held.set(message.id, message.replyTo)
          context.after(message.ms, { type: 'release', id: message.id })
          return next(held)
        case 'release':
          held.get(message.id)?.tell(message.id)
          held.delete(message.id)
          return next(held)
        case 'askOf': {
          const target = message.target as Ref<PeerMessage>
          const { timeoutMs, ms } = message
          ledger.ask(life, timeoutMs, (id) => {
            const asked = context.ask(target, { type: 'hold', id, ms }, { timeoutMs })
            context.pipe(asked, () => ({ type: 'asked' }))
            return asked
          })
          return next(held)
        }
        case 'watch': {
          const { member, path } = message.target.address
          if (ledger.watch(life, `${member}${path}`)) context.watch(message.target)
          return next(held)
        }
        case 'crash':
          throw new RangeError('as told')
        case 'finish':
          return stop()
        case 'asked':
          return next(held)
      }
    },
    down(held, { ref, incarnation, reason }, context) {
      const { member, path } = ref.address
      const target = `${member}${path}`
      ledger.down(lifeOf(context), target, `${target}#${incarnation}`, reason.type)
      return next(held)
    },
    stopped: (_held, _reason, context) => ledger.ended(lifeOf(context)),
  }
}

const HostConfig = struct({ peers: list(text) })
const HostMessage = union({ nothing: {} })

/** Keeps its peers alive, however they end. */
export function hostOf(
  ledger: Ledger,
): ActorDefinition<Infer<typeof HostConfig>, null, Infer<typeof HostMessage>> {
  const peer = peerOf(ledger)
  return {
    kind: 'host',
    protocol: HostMessage,
    config: HostConfig,
    start({ peers }, context) {
      for (const name of peers) {
        const restartLimit = { restartsMax: 1_000, windowMs: 60_000 }
        context.spawn(peer, undefined, { name, restart: 'permanent', restartLimit })
      }
      return null
    },
    receive: (state) => next(state),
  }
}
