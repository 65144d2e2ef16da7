// The links of a member: whom it dials, whom it accepts, and what it knows of the others. The member that
// others join (control) tells all of them who is there and who is gone; links then go directly.

import type { SendResult } from '../../protocol/address.ts'
import { assert } from '../../protocol/assert.ts'
import { START } from '../../protocol/codec.ts'
import type { Envelope } from '../../protocol/envelope.ts'
import type { Limits } from '../../protocol/limits.ts'
import type { Resolve } from '../../protocol/schema.ts'
import type { Environment } from '../environment.ts'
import type { Inspector } from '../inspect.ts'
import { type MemberEntry, SYSTEM_PATH, type SystemSignal } from '../signals.ts'
import { backoffMs } from '../supervision.ts'
import { type Connection, type Listener, TransportError } from '../transport/connection.ts'
import { type Reader, shakeHands } from '../transport/handshake.ts'
import {
  encodeGreeting,
  type Hello,
  type Introduction,
  isSameToken,
  type Welcome,
} from '../transport/hello.ts'
import type { LinkFault } from '../transport/gate.ts'
import { createLink, type Link, type LinkTraffic } from '../transport/link.ts'
import { type Change, createDirectory, plainEntry } from './directory.ts'

export interface MembershipWorld {
  /** With what it has to offer; the others are told. */
  readonly self: Omit<MemberEntry, 'url'>
  readonly token: string
  readonly environment: Environment
  readonly limits: Limits
  readonly inspector: Inspector
  readonly resolve: Resolve
  /** For an actor, a reply slot, or the system of this member. */
  received(envelope: Envelope, from: string): void
  /** Nothing more comes from that life of the member. May be said more than once. */
  memberLost(member: string, cause: string): void
}

export interface LinkStatus extends LinkTraffic {
  readonly member: string
  readonly isConnected: boolean
}

export interface Membership {
  readonly links: readonly LinkStatus[]
  readonly url: string | undefined
  readonly entries: readonly MemberEntry[]
  /** Every packet has been acknowledged. */
  readonly isIdle: boolean
  send(envelope: Envelope): SendResult
  listen(options: { readonly hostname: string; readonly port: number }): Promise<string>
  join(url: string): Promise<void>
  members(signal: Extract<SystemSignal, { type: 'members' }>, from: string): void
  left(member: string): void
  markLost(member: string, incarnation: number, cause: string): void
  /** On the link to a member, or on all; false where there is none. */
  injectFault(on: FaultOn): boolean
  stop(): void
}

export interface FaultOn {
  readonly member?: string
  readonly fault: LinkFault
  readonly durationMs: number
}

interface Peer {
  readonly member: string
  readonly incarnation: number
  readonly link: Link
  /** Where we dial it; absent where the peer dials us. */
  url: string | undefined
  tries: number
  /** It is told of every join and loss by us. */
  isClient: boolean
  /** We are told by it. */
  readonly isControl: boolean
}

const CROSSED = 'crossed: we are dialling you'

export function createMembership(world: MembershipWorld): Membership {
  const { self, environment, limits, inspector } = world
  const { clock, random, transport } = environment
  const directory = createDirectory()
  const peers = new Map<string, Peer>()
  let listener: Promise<Listener> | undefined
  let url: string | undefined
  let strangers = 0
  let isStopped = false
  const joining = new Map<string, { resolve: () => void; reject: (error: Error) => void }>()

  function createPeer(
    peer: Pick<Peer, 'member' | 'incarnation' | 'url' | 'isClient' | 'isControl'>,
    session: number,
  ): Peer {
    const link = createLink({
      session,
      clock,
      limits,
      resolve: world.resolve,
      received: (envelope) => world.received(envelope, peer.member),
      disconnected: () => redial(created),
      ended: (cause) => endPeer(created, cause),
    })
    const created: Peer = { ...peer, tries: 0, link }
    peers.set(peer.member, created)
    return created
  }

  // What control says is final; what a member finds out about another may be its own broken line.
  function endPeer(peer: Peer, cause: string): void {
    if (peers.get(peer.member) === peer) peers.delete(peer.member)
    joining.get(peer.member)?.reject(new TransportError(`cannot join ${peer.member}: ${cause}`))
    joining.delete(peer.member)
    if (!isStopped) announce(directory.lose({ ...lifeOf(peer), cause }, peer.isClient))
    world.memberLost(peer.member, cause)
  }

  function announce({ lost, joined }: Change): void {
    if (lost) {
      const peer = peers.get(lost.member)
      if (peer && peer.incarnation <= lost.incarnation) peer.link.end(lost.cause)
      // An ask may have been forwarded to a member that nothing was ever sent to.
      if (!peer) world.memberLost(lost.member, lost.cause)
      inspector.emit({ type: 'member-lost', ...lost })
    }
    if (joined) {
      const { member, incarnation } = joined
      inspector.emit({ type: 'member-joined', member, incarnation })
    }
    if (!lost && !joined) return
    const news = { joined: joined ? [joined] : [], lost: lost ? [lost] : [] }
    for (const { isClient, member } of peers.values()) {
      if (isClient) signalTo(member, { type: 'members', ...news })
    }
  }

  function signalTo(member: string, payload: SystemSignal): void {
    const target = { member, path: SYSTEM_PATH }
    peers.get(member)?.link.enqueue({ target, lane: 'signal', payload })
  }

  function introduction(link: Link | undefined, session: number): Introduction {
    const place = url === undefined ? {} : { url }
    return { ...self, ...place, session, received: link?.received ?? START }
  }

  function readerOf(peer: Peer, connection: Connection): Reader {
    return {
      received: (packet) => peer.link.receive(connection, packet),
      drained: () => peer.link.drained(connection),
      closed: (cause) => peer.link.detach(connection, cause),
    }
  }

  // Dialling.

  function redial(peer: Peer): void {
    if (peer.url === undefined || isStopped) return
    const backoff = { delayMs: limits.redialMs, delayMsMax: limits.redialMsMax }
    const delayMs = backoffMs(peer.tries++, backoff, random)
    clock.after(delayMs, () => {
      if (peers.get(peer.member) === peer && !peer.link.isConnected) dial(peer)
    })
  }

  function dial(peer: Peer): void {
    const { link, member, isControl } = peer
    if (peer.url === undefined) return
    const hello = (): Hello => ({
      type: 'hello',
      ...introduction(link, link.session),
      token: world.token,
      target: member,
      isResuming: link.hasBeenConnected,
      isJoining: isControl,
    })
    call(peer.url, hello, {
      welcomed(welcome, connection) {
        if (peers.get(member) !== peer || link.isConnected) return undefined
        if (welcome.incarnation !== peer.incarnation) {
          link.end(`replaced by incarnation ${welcome.incarnation}`)
          return undefined
        }
        peer.tries = 0
        announce(directory.join(plainEntry(welcome)))
        link.attach(connection, welcome.received)
        return readerOf(peer, connection)
      },
      refused(cause) {
        if (cause === CROSSED) redial(peer)
        else link.end(`refused by ${member}: ${cause}`)
      },
      failed: () => redial(peer),
    })
  }

  interface Answers {
    welcomed(welcome: Welcome, connection: Connection): Reader | undefined
    refused(cause: string): void
    failed(cause: string): void
  }

  function call(target: string, hello: () => Hello, answers: Answers): void {
    let isAnswered = false
    const events = shakeHands({
      clock,
      deadlineMs: limits.helloMsMax,
      opened: () => void connection.send(encodeGreeting(hello())),
      greeted(greeting) {
        isAnswered = true
        if (greeting.type === 'welcome') return answers.welcomed(greeting, connection)
        answers.refused(greeting.type === 'refused' ? greeting.cause : 'a hello for a hello')
        return undefined
      },
      failed(cause) {
        if (!isAnswered) answers.failed(cause)
      },
      close: (cause) => connection.close(cause),
    })
    const connection = transport.connect(target, events)
  }

  // Accepting.

  function accept(connection: Connection) {
    strangers += 1
    let isKnown = false
    const know = (): void => {
      if (!isKnown) strangers -= 1
      isKnown = true
    }
    const refuse = (cause: string): undefined => {
      connection.send(encodeGreeting({ type: 'refused', cause }))
      inspector.emit({ type: 'peer-refused', cause })
    }
    return shakeHands({
      clock,
      deadlineMs: limits.helloMsMax,
      opened() {
        if (strangers > limits.strangersMax) connection.close('too many strangers')
      },
      greeted(greeting) {
        if (greeting.type !== 'hello') return refuse('expected a hello')
        const problem = judgeHello(greeting)
        if (problem !== undefined) return refuse(problem)
        know()
        return welcome(greeting, connection)
      },
      failed(cause) {
        know()
        if (cause !== 'refused') refuse(cause)
      },
      close: (cause) => connection.close(cause),
    })
  }

  function judgeHello(hello: Hello): string | undefined {
    const { member, incarnation, session } = hello
    if (!isSameToken(world.token, hello.token)) return 'wrong token'
    if (!/^[^/#\s]{1,200}$/.test(member)) return 'a member name without slash, hash or space'
    if (hello.target !== undefined && hello.target !== self.member) return `this is ${self.member}`
    if (member === self.member) return `another member is called ${member}`
    if (directory.isOver(member, incarnation))
      return `incarnation ${incarnation} of ${member} is over`
    const peer = peers.get(member)
    const isSameSession = peer?.incarnation === incarnation && peer.link.session === session
    const isAfresh =
      peer?.isClient && peer.incarnation === incarnation && peer.link.hasBeenConnected
    if ((hello.isResuming || isAfresh) && !isSameSession) return 'this session is over'
    if (!peer && peers.size >= limits.membersMax) return `more than ${limits.membersMax} members`
    // Both dial at once: the one whose name comes first prevails.
    const isCrossing = peer?.incarnation === incarnation && !isSameSession && peer.url !== undefined
    const isOurs = isCrossing && (peer.link.isConnected || !peer.link.hasBeenConnected)
    return isOurs && self.member < member ? CROSSED : undefined
  }

  function welcome(hello: Hello, connection: Connection): Reader {
    const { member, incarnation, session } = hello
    announce(directory.join(plainEntry(hello)))
    let peer = peers.get(member)
    if (peer && peer.incarnation !== incarnation) {
      peer.link.end(`replaced by incarnation ${incarnation}`)
      peer = undefined
    }
    if (peer && peer.link.session !== session) {
      if (peer.link.hasBeenConnected) {
        peer.link.end('the peer began a new session')
        announce(directory.join(plainEntry(hello)))
        peer = undefined
      } else {
        peer.link.session = session
      }
    }
    const isClient = hello.isJoining
    peer ??= createPeer({ ...lifeOf(hello), url: undefined, isClient, isControl: false }, session)
    peer.url = undefined
    peer.isClient ||= isClient
    connection.send(encodeGreeting({ type: 'welcome', ...introduction(peer.link, session) }))
    peer.link.attach(connection, hello.received)
    if (isClient) signalTo(member, { type: 'members', joined: everyone(), lost: [] })
    return readerOf(peer, connection)
  }

  function everyone(): MemberEntry[] {
    const me = url === undefined ? self : { ...self, url }
    return [me, ...directory.entries]
  }

  function peerFor(member: string): Peer | undefined {
    const peer = peers.get(member)
    if (peer) return peer
    const entry = directory.get(member)
    if (entry?.url === undefined || isStopped) return undefined
    const { incarnation } = entry
    const isControl = false
    const dialled = createPeer(
      { member, incarnation, url: entry.url, isClient: false, isControl },
      newSession(),
    )
    dial(dialled)
    return dialled
  }

  const newSession = (): number => 1 + random.below(2 ** 32)

  return {
    get url() {
      return url
    },
    get entries() {
      return everyone()
    },
    get links() {
      return [...peers.values()].map(({ member, link }) => {
        const { isConnected, traffic } = link
        return { member, isConnected, ...traffic }
      })
    },
    get isIdle() {
      return [...peers.values()].every(({ link }) => link.isIdle)
    },
    send: (envelope) => peerFor(envelope.target.member)?.link.enqueue(envelope) ?? 'unreachable',
    async listen(options) {
      listener ??= transport.listen({ ...options, accept })
      url = (await listener).url
      return url
    },
    join(target) {
      const session = newSession()
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      const fail = (cause: string): void =>
        reject(new TransportError(`cannot join ${target}: ${cause}`))
      const hello = (): Hello => ({
        type: 'hello',
        ...introduction(undefined, session),
        token: world.token,
        isResuming: false,
        isJoining: true,
      })
      call(target, hello, {
        welcomed(welcomed, connection) {
          announce(directory.join(plainEntry(welcomed)))
          peers.get(welcomed.member)?.link.end('joined anew')
          const place = { url: target, isClient: false, isControl: true }
          const peer = createPeer({ ...lifeOf(welcomed), ...place }, session)
          joining.set(peer.member, { resolve, reject })
          peer.link.attach(connection, welcomed.received)
          return readerOf(peer, connection)
        },
        refused: fail,
        failed: fail,
      })
      return promise
    },
    members({ joined, lost }, from) {
      // Only control may say who is gone.
      if (!peers.get(from)?.isControl) return
      for (const loss of lost) if (loss.member !== self.member) announce(directory.lose(loss, true))
      for (const entry of joined) if (entry.member !== self.member) announce(directory.join(entry))
      joining.get(from)?.resolve()
      joining.delete(from)
    },
    left(member) {
      const peer = peers.get(member)
      if (!peer) return
      announce(directory.lose({ ...lifeOf(peer), cause: 'left' }, true))
      peer.link.end('left')
    },
    markLost(member, incarnation, cause) {
      announce(directory.lose({ member, incarnation, cause }, true))
      const peer = peers.get(member)
      if (peer && peer.incarnation <= incarnation) peer.link.end(cause)
    },
    injectFault({ member, fault, durationMs }) {
      const links = [...peers.values()].filter((peer) => (member ?? peer.member) === peer.member)
      for (const { link } of links) link.fault(fault, durationMs)
      return links.length > 0
    },
    stop() {
      assert(!isStopped, 'a system stops once')
      isStopped = true
      for (const { member } of peers.values()) signalTo(member, { type: 'leave' })
      // After the links have sent it.
      queueMicrotask(() =>
        queueMicrotask(() => {
          for (const { link } of [...peers.values()]) link.end('stopped')
          // That it never opened was told to whoever called `listen`.
          listener?.then(
            ({ close }) => close(),
            () => {},
          )
        }),
      )
    },
  }
}

function lifeOf({ member, incarnation }: { member: string; incarnation: number }) {
  return { member, incarnation }
}
