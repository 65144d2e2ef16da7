// Where an actor lives, and what can be said to it. A ref addresses a path, so it survives a restart;
// what must not survive one (replies, watches) names the incarnation.

/** `member` is a process of the cluster; `path` names the actor in it, `/run/trainer`. */
export interface Address {
  readonly member: string
  readonly path: string
  /** Present where only one life of the actor is meant. */
  readonly incarnation?: number
}

/** What `tell` answers in the same tick. Delivery is at most once: accepted is not yet received. */
export type SendResult = 'accepted' | 'full' | 'stopped' | 'unreachable'

/** A handle to an actor that understands `Message`. */
export interface Ref<in Message> {
  readonly address: Address
  tell(message: Message): SendResult
}

export function formatAddress({ member, path, incarnation }: Address): string {
  return incarnation === undefined ? `${member}${path}` : `${member}${path}#${incarnation}`
}

/** The inverse of `formatAddress`; undefined where the text is no address. */
export function parseAddress(text: string): Address | undefined {
  const parts = /^([^/#]+)(\/[^#]*)(?:#(\d{1,15}))?$/.exec(text)
  if (parts === null) return undefined
  const [, member = '', path = '', incarnation] = parts
  return incarnation === undefined
    ? { member, path }
    : { member, path, incarnation: Number(incarnation) }
}
