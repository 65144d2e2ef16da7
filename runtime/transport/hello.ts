// The first packets of a connection: who is calling, whom, and where their session stands. Until both are
// content, nothing else is read.
import { decodePacket, encodePacket, ProtocolError } from '../../protocol/codec.ts'
import { flag, type Infer, integer, optional, struct, text, union } from '../../protocol/schema.ts'
import { Resources } from '../cluster/resources.ts'

const introduction = {
  member: text,
  incarnation: integer,
  /** Where this member accepts connections; absent where it does not listen. */
  url: optional(text),
  /** What this member has to offer. */
  resources: optional(Resources),
  /** Chosen by the dialling side; both sides number and acknowledge packets within it. */
  session: integer,
  /** What of this session has arrived here: see `Position`. */
  received: struct({ signals: integer, messages: integer, bulk: integer, offset: integer }),
}

const Introduction = struct(introduction)
export type Introduction = Infer<typeof Introduction>

const Greeting = union({
  hello: {
    ...introduction,
    token: text,
    /** Whom the caller means to reach; absent on the first call to a URL. */
    target: optional(text),
    /** The caller has been in this session before. */
    isResuming: flag,
    /** The caller wants the directory of members. */
    isJoining: flag,
  },
  welcome: introduction,
  refused: { cause: text },
})
export type Greeting = Infer<typeof Greeting>
export type Hello = Extract<Greeting, { type: 'hello' }>
export type Welcome = Extract<Greeting, { type: 'welcome' }>

const NOBODY = { member: '-', path: '/' } as const

export function encodeGreeting(payload: Greeting): Uint8Array {
  return encodePacket([{ target: NOBODY, lane: 'signal', payload }])
}

/** Throws `ProtocolError`. */
export function decodeGreeting(packet: Uint8Array): Greeting {
  if (packet.byteLength > GREETING_BYTES_MAX) throw new ProtocolError('a greeting this long')
  const decoded = decodePacket(packet)
  const [envelope, ...others] = decoded.type === 'batch' ? decoded.envelopes : []
  if (!envelope || others.length > 0) throw new ProtocolError('expected one greeting')
  try {
    return Greeting.decode(envelope.payload, 'greeting', () => {
      throw new ProtocolError('a greeting names no actor')
    })
  } catch (error) {
    throw new ProtocolError(error instanceof Error ? error.message : String(error))
  }
}

const GREETING_BYTES_MAX = 16_384

/** Takes as long for a token that is wrong in its first letter as for one that is wrong in its last. */
export function isSameToken(expected: string, given: string): boolean {
  const a = new TextEncoder().encode(expected)
  const b = new TextEncoder().encode(given)
  let difference = a.length ^ b.length
  for (let i = 0; i < b.length; i++) difference |= (a[i % Math.max(1, a.length)] ?? 0) ^ b[i]!
  return difference === 0
}
