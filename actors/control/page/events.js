// @ts-check
// The event log: the last few hundred, with a filter; it follows the newest until somebody scrolls up.
import { byId, h, figure } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Event} Event */

const EVENTS_MAX = 500
const lives = [
  'death',
  'recovered',
  'crashed',
  'restarted',
  'member-lost',
  'member-joined',
  'device',
]
/** They come by the second, and tell little. */
const quiet = ['log', 'spawned', 'skipped', 'transcripts']
const bad = ['death', 'crashed', 'member-lost', 'escalated', 'missed']
const good = ['recovered', 'finished', 'restarted']

export function createEvents() {
  const list = byId('events')
  const filter = /** @type {HTMLInputElement} */ (byId('events-filter'))
  const type = /** @type {HTMLSelectElement} */ (byId('events-type'))
  /** @type {Event[]} */
  let events = []
  /** @type {Event[]} */
  let fresh = []

  /** @param {Event} event */
  function isWanted(event) {
    if (type.value === '' && quiet.includes(event.type)) return false
    if (type.value === 'lives' && !lives.includes(event.type)) return false
    if ((type.value === 'log' || type.value === 'audit') && event.type !== type.value) return false
    const wanted = filter.value.trim().toLowerCase()
    return !wanted || `${event.type} ${textOf(event)}`.toLowerCase().includes(wanted)
  }

  function drawAll() {
    list.replaceChildren(...events.filter(isWanted).map(lineOf))
    list.scrollTop = list.scrollHeight
  }

  function drawFresh() {
    const isFollowing = list.scrollHeight - list.scrollTop - list.clientHeight < 40
    list.append(...fresh.filter(isWanted).map(lineOf))
    fresh = []
    while (list.childElementCount > EVENTS_MAX) list.firstElementChild?.remove()
    if (isFollowing) list.scrollTop = list.scrollHeight
  }

  filter.addEventListener('input', drawAll)
  type.addEventListener('change', drawAll)
  return {
    /** @param {Event} event */
    add(event) {
      if (event.type === 'progress') return
      events.push(event)
      if (events.length > EVENTS_MAX) events = events.slice(-EVENTS_MAX)
      if (fresh.length === 0) requestAnimationFrame(drawFresh)
      fresh.push(event)
      if (fresh.length > EVENTS_MAX) fresh.shift()
    },
  }
}

/** @param {Event} event */
function lineOf(event) {
  const at = new Date(event.at ?? Date.now())
  const kind = bad.includes(event.type) ? 'bad' : good.includes(event.type) ? 'good' : ''
  return h(
    'li',
    { className: kind },
    h('time', { dateTime: at.toISOString() }, at.toTimeString().slice(0, 8)),
    h('span', { className: 'kind' }, event.type),
    h('span', {}, textOf(event)),
  )
}

/** @param {Event} event @returns {string} */
export function textOf(event) {
  const { member = '', path = '' } = event
  const who = `${member}${path}`
  switch (event.type) {
    case 'death':
      return `${event.actor} died: ${event.cause}`
    case 'recovered':
      return `${event.actor} is back after ${figure(Number(event.recoveredMs))} ms`
    case 'phase':
      return `${event.phase}: ${event.total} ${event.unit}`
    case 'phase-ended':
      return `${event.phase} took ${Number(event.seconds).toFixed(1)} s`
    case 'evaluated':
      return `${event.model}: ${Number(/** @type {{ percent: number }} */ (event.errorRate).percent).toFixed(2)} % word errors (${event.set})`
    case 'accuracy':
      return `${event.model}: ${Number(/** @type {{ top1: number }} */ (event.accuracy).top1).toFixed(1)} % top-1 (${event.set})`
    case 'run':
      return `${event.run} is ${event.state}`
    case 'steered':
      return `${event.what}${event.detail ? `: ${event.detail}` : ''}`
    case 'audit':
      return `${event.action} ${event.target} ${event.ok ? 'done' : 'refused'}${event.by ? ` (${event.by})` : ''}`
    case 'log':
      return `${who}: ${event.message}`
    case 'crashed':
      return `${who}: ${event.cause}`
    case 'missed':
      return `${event.count} events came too fast`
    case 'note':
      return String(event.message)
    case 'member-lost':
      return `${event.member}: ${event.cause}`
    default:
      return who || String(event.name ?? event.model ?? '')
  }
}
