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
  const slash = text.indexOf('/')
  if (slash <= 0) return undefined
  const hash = text.indexOf('#')
  const member = text.slice(0, slash)
  if (hash < 0) return { member, path: text.slice(slash) }
  const digits = text.length - hash - 1
  const incarnation = digits > 0 && digits <= 15 ? wholeNumber(text, hash + 1) : -1
  if (hash < slash || incarnation < 0) return undefined
  return { member, path: text.slice(slash, hash), incarnation }
}

/** The digits from `start` on as a number; -1 where one is none. */
function wholeNumber(text: string, start: number): number {
  let number = 0
  for (let at = start; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48
    if (digit < 0 || digit > 9) return -1
    number = 10 * number + digit
  }
  return number
}
