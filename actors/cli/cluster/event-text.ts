// An event of a cluster as a line for people.
import type { Event } from '../../../protocol/control.ts'
import type { RunEvent } from '../../events.ts'
import { renderEvent } from '../progress.ts'

const plain = { columns: 100, colour: false, interactive: false }

/** As the run itself says it, where it is one of its events. */
export function textOfEvent(event: Event): string {
  const time = new Date(event.at ?? 0).toISOString().slice(11, 19)
  return `${time} ${wordsOf(event)}`
}

function wordsOf(event: Event): string {
  const { member = '', path = '' } = event
  const who = `${member}${String(path)}`
  switch (event.type) {
    case 'run':
      return `${event.run} is ${event.state}`
    case 'audit':
      return `${event.action} ${event.target} ${event.ok ? 'done' : 'refused'}`
    case 'log':
      return `${event.level} ${who}: ${event.message}`
    case 'missed':
      return `… ${event.count} events came too fast`
    case 'spawned':
    case 'restarted':
    case 'stopped':
      return `${who} ${event.type}`
    case 'crashed':
      return `${who} crashed: ${event.cause}`
    case 'member-lost':
      return `${member} is lost: ${event.cause}`
    case 'member-joined':
      return `${member} joined`
    case 'full':
    case 'dead-letter':
    case 'escalated':
    case 'peer-refused':
      return `${event.type} ${who} ${event.cause ?? ''}`.trimEnd()
    default: {
      const { lines, bar } = renderEvent(event as unknown as RunEvent, plain)
      return [...lines, ...(bar ? [bar] : [])].join(' ').trim() || event.type
    }
  }
}
