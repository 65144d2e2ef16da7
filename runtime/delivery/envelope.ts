// What passes between a producer and a deliverable actor: deliveries and probes one way, answers the
// other. The message inside keeps the schema of the actor it is meant for.
import { formatAddress, type Ref } from '../../protocol/address.ts'
import {
  DecodeError,
  flag,
  type Infer,
  integer,
  ref,
  type Schema,
  text,
  union,
} from '../../protocol/schema.ts'

/** What a deliverable actor answers its producers. */
export const DeliveryAnswer = union({
  /**
   * Every delivery up to `through` is done with. `sent` is the highest one that was told before: those
   * between did not arrive. At most `window` may be on their way to this actor.
   */
  confirmed: {
    life: integer,
    receiver: integer,
    opening: integer,
    through: integer,
    sent: integer,
    window: integer,
  },
  /** This life of the actor does not know the producer: it probes, and goes on from the answer. */
  unknown: { life: integer },
  /** The message of this delivery is not of the protocol: it is never handled. */
  misunderstood: { life: integer, sequence: integer, cause: text },
  /** The producer broke the rules, or has a successor: nothing of it is handled any more. */
  refused: { life: integer, reason: text },
})
export type DeliveryAnswer = Infer<typeof DeliveryAnswer>

interface Heading {
  /** Who it is from, and where the answers go. */
  readonly producer: Ref<DeliveryAnswer>
  /** Incarnation of the producer; its sequence numbers start at 1 in each. */
  readonly life: number
  /** Every delivery up to here is settled: nobody waits for it any more. */
  readonly settled: number
}

/** What makes an actor with the protocol `Message` deliverable, beside `Message` itself. */
export type Delivery<Message> =
  | (Heading & {
      readonly type: 'deliver'
      /** Incarnation of the receiver that it is meant for ... */
      readonly receiver: number
      /** ... and which of the times, counted in that life, that it came to know a producer. */
      readonly opening: number
      readonly sequence: number
      /** The producer wants to hear of this one; others are confirmed with a later one. */
      readonly answer: boolean
      readonly message: Message
    })
  | (Heading & {
      readonly type: 'deliver-probe'
      /** The highest sequence that has been told. */
      readonly sent: number
    })
  /** This life of the producer says no more: it need not be remembered. */
  | (Heading & { readonly type: 'deliver-end' })

/** Stands for a message that the protocol refused, so that its producer can be told which. */
export class Misunderstood {
  readonly cause: string
  constructor(cause: string) {
    this.cause = cause
  }
}

const PRODUCER_LENGTH_MAX = 1_024

const producer: Schema<Ref<DeliveryAnswer>> = {
  decode(value, at, resolve) {
    const decoded = ref<DeliveryAnswer>().decode(value, at, resolve)
    const { length } = formatAddress(decoded.address)
    if (length <= PRODUCER_LENGTH_MAX) return decoded
    throw new DecodeError(at, `an address of at most ${PRODUCER_LENGTH_MAX} characters`, length)
  },
}

/** The protocol of a deliverable actor: its own, and deliveries of it. */
export function deliveryOf<Message>(
  protocol: Schema<Message>,
): Schema<Message | Delivery<Message>> {
  const heading = { producer, life: integer, settled: integer }
  const message: Schema<unknown> = {
    decode(value, at, resolve) {
      try {
        return protocol.decode(value, at, resolve)
      } catch (error) {
        if (error instanceof DecodeError) return new Misunderstood(error.message)
        throw error
      }
    },
  }
  const delivery = union({
    deliver: {
      ...heading,
      receiver: integer,
      opening: integer,
      sequence: integer,
      answer: flag,
      message,
    },
    'deliver-probe': { ...heading, sent: integer },
    'deliver-end': heading,
  }) as unknown as Schema<Delivery<Message>>
  return {
    decode: (value, at, resolve) =>
      (isDelivery(value) ? delivery : protocol).decode(value, at, resolve),
  }
}

/** A message of an actor's own protocol must not have one of these types. */
export function isDelivery<Message>(value: unknown): value is Delivery<Message> {
  const type =
    typeof value === 'object' && value !== null && 'type' in value ? value.type : undefined
  return type === 'deliver' || type === 'deliver-probe' || type === 'deliver-end'
}
