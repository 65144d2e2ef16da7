// A router is an actor that speaks the protocol of its routees and passes each message to one of them.
// Replies go straight from the routee to the asker.
import type { Ref } from '../../protocol/address.ts'
import { list, ref, type Schema, struct } from '../../protocol/schema.ts'
import { type ActorDefinition, next } from '../actor.ts'
import type { Picker } from './picker.ts'
import { createRoutees, type Routees, RouterMessage, withControl } from './routees.ts'

export interface RouterConfig<Message> {
  readonly routees: readonly Ref<Message>[]
}

export interface RouterOptions<Message> {
  readonly picker: Picker<Message>
  /** Default: `router of` and the kind of the routees. */
  readonly kind?: string
}

export type RouterDefinition<Message> = ActorDefinition<
  RouterConfig<Message>,
  Routees<Message>,
  Message | RouterMessage
>

/**
 * A router over actors that others keep alive, on any member. `router-add` and `router-remove` change
 * them. One that goes down gets nothing until it is back; after half a minute of looking for it, it is
 * let go. With no routee up, an ask fails at once as `unreachable`, and a tell is a dead letter; a routee
 * whose mailbox is full refuses for itself. Message types that begin with `router-` are the router's own.
 */
export function routerOf<Message>(
  routee: { readonly kind: string; readonly protocol: Schema<Message> },
  { picker, kind = `router of ${routee.kind}` }: RouterOptions<Message>,
): RouterDefinition<Message> {
  return {
    kind,
    protocol: withControl(routee.protocol, RouterMessage, isOfRouter),
    config: struct({ routees: list(ref<Message>(), ROUTEES_MAX) }),
    start({ routees: refs }, context) {
      const routees = createRoutees(context, { picker })
      for (const routee of refs) routees.add(routee)
      return routees
    },
    receive(routees, message, context) {
      if (!isRouterMessage(message)) {
        routees.route(message)
      } else if (message.type === 'router-add') {
        if (routees.all.size < ROUTEES_MAX) routees.add(message.routee as Ref<Message>)
        else context.refuse(message, 'overloaded', `${ROUTEES_MAX} routees are the most`)
      } else if (message.type === 'router-remove') {
        routees.remove(message.routee)
      } else {
        routees.look(message)
      }
      return next(routees)
    },
    down(routees, down) {
      routees.down(down)
      return next(routees)
    },
  }
}

const ROUTEES_MAX = 4_096

function isOfRouter(type: unknown): boolean {
  return typeof type === 'string' && type.startsWith('router-')
}

function isRouterMessage<Message>(message: Message | RouterMessage): message is RouterMessage {
  const isObject = typeof message === 'object' && message !== null && 'type' in message
  return isObject && isOfRouter(message.type)
}
