// The event stream of one member: topics with typed events, and the lives that subscribe to them.
export interface Topic<in out Event> {
  readonly name: string
  /** Types only: an event never leaves its member, so nothing decodes it. */
  readonly event?: (event: Event) => Event
}

/** Two topics of one name are one topic. */
export function topic<Event>(name: string): Topic<Event> {
  return { name }
}

export interface Topics {
  /** `take` says whether the event was taken. The returned function ends the subscription. */
  subscribe<Event>(topic: Topic<Event>, take: (event: Event) => boolean): () => void
  publish<Event>(topic: Topic<Event>, event: Event): number
}

export function createTopics(): Topics {
  const byName = new Map<string, Set<(event: never) => boolean>>()
  return {
    subscribe({ name }, take) {
      const takers = byName.get(name) ?? new Set()
      byName.set(name, takers.add(take))
      return () => {
        takers.delete(take)
        if (takers.size === 0 && byName.get(name) === takers) byName.delete(name)
      }
    },
    publish({ name }, event) {
      let taken = 0
      for (const take of byName.get(name) ?? []) if (take(event as never)) taken += 1
      return taken
    },
  }
}
