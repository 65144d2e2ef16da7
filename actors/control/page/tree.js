// @ts-check
// The supervision tree: members, and the actors in them. Only the rows that are seen are in the document, so
// that ten thousand actors scroll as ten do.
import { steer } from './actions.js'
import { byId, h, inLives } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Actor} Actor */
/** @typedef {import('../../../protocol/control.ts').Member} Member */
/** @typedef {import('../../../protocol/control.ts').Worker} Worker */
/**
 * @typedef {object} Row
 * @property {string} path
 * @property {string} name
 * @property {number} level
 * @property {boolean} isMember
 * @property {boolean} hasChildren
 * @property {string} kind
 * @property {number} incarnation
 * @property {number} mailbox
 * @property {number} restarts
 * @property {'good' | 'warn' | 'bad'} health
 * @property {string} note
 * @property {boolean} isRemovable
 */

const ROW_PIXELS = 32
/** Above and below what is seen. */
const SPARE_ROWS = 8
const FLASH_MS = 1_600
const MAILBOX_FULL = 1_024

export function createTree() {
  const count = byId('tree-count')
  const filter = /** @type {HTMLInputElement} */ (byId('tree-filter'))
  const space = h('div', {})
  const rows = h(
    'div',
    { className: 'rows', role: 'tree', 'aria-labelledby': 'tree-heading', tabIndex: 0 },
    space,
  )
  byId('tree').replaceChildren(rows)
  /** @type {Row[]} */
  let all = []
  /** @type {Row[]} */
  let seen = []
  /** Path -> what is in the document. @type {Map<string, { element: HTMLElement, key: string }>} */
  const shown = new Map()
  const closed = new Set()
  /** @type {Map<string, { how: string, until: number }>} */
  const flashes = new Map()
  /** The row that the keyboard is at. */
  let at = 0

  function select() {
    const wanted = filter.value.trim().toLowerCase()
    seen = all.filter((row) => {
      if (wanted) return `${row.path} ${row.kind} ${row.note}`.toLowerCase().includes(wanted)
      return row.isMember || !closed.has(row.path.split('/')[0])
    })
    space.style.height = `${seen.length * ROW_PIXELS}px`
    draw()
  }

  function draw() {
    const first = Math.max(0, Math.floor(rows.scrollTop / ROW_PIXELS) - SPARE_ROWS)
    const last = first + Math.ceil(rows.clientHeight / ROW_PIXELS) + 2 * SPARE_ROWS
    const now = performance.now()
    const wanted = new Set()
    seen.slice(first, last).forEach((row, index) => {
      const place = first + index
      wanted.add(row.path)
      const flash = flashes.get(row.path)
      const how = flash && flash.until > now ? flash.how : ''
      const isOpen = !closed.has(row.path)
      const key = JSON.stringify([row, place, how, isOpen, place === at, seen.length])
      const known = shown.get(row.path)
      if (known?.key === key) return
      const element = rowOf(row, { place, how, isOpen })
      if (known) known.element.replaceWith(element)
      else rows.append(element)
      shown.set(row.path, { element, key })
    })
    for (const [path, { element }] of shown) {
      if (wanted.has(path)) continue
      element.remove()
      shown.delete(path)
    }
  }

  /** @param {Row} row @param {{ place: number, how: string, isOpen: boolean }} state */
  function rowOf(row, { place, how, isOpen }) {
    const toggle = () => {
      if (!closed.delete(row.path)) closed.add(row.path)
      select()
    }
    const meter = h('i')
    meter.style.width = `${Math.min(100, (100 * row.mailbox) / MAILBOX_FULL)}%`
    const element = h(
      'div',
      {
        className: `row ${row.isMember ? 'member' : ''} ${how}`,
        role: 'treeitem',
        'aria-level': row.level,
        'aria-posinset': place + 1,
        'aria-setsize': seen.length,
        'aria-selected': place === at,
        ...(row.hasChildren && { 'aria-expanded': isOpen }),
        'data-path': row.path,
        title: row.note,
      },
      h(
        'span',
        { className: 'name' },
        ...(row.hasChildren
          ? [
              h(
                'button',
                {
                  type: 'button',
                  className: 'bare',
                  tabIndex: -1,
                  'aria-label': isOpen ? `close ${row.path}` : `open ${row.path}`,
                  onclick: toggle,
                },
                isOpen ? '▾' : '▸',
              ),
            ]
          : []),
        h('span', {
          className: `dot ${row.health}`,
          role: 'img',
          'aria-label': healthName[row.health],
        }),
        row.name,
        ...(row.note ? [h('span', { className: 'quiet' }, ` ${row.note}`)] : []),
      ),
      h('span', { className: 'quiet kind' }, row.kind),
      h(
        'span',
        { title: `${row.mailbox} messages wait`, 'aria-label': `${row.mailbox} messages wait` },
        h('span', { className: 'meter' }, meter),
      ),
      h(
        'span',
        { className: 'quiet', title: 'life of the member . life of the actor' },
        `${inLives(row.incarnation)}${row.restarts ? ` ↻${row.restarts}` : ''}`,
      ),
      h(
        'button',
        {
          type: 'button',
          className: 'bare',
          tabIndex: -1,
          'data-testid': 'steer',
          'aria-label': `kill, restart or stop ${row.path}`,
          onclick: () => steer(row),
        },
        '⋯',
      ),
    )
    element.style.transform = `translateY(${place * ROW_PIXELS}px)`
    const indent = element.firstElementChild
    if (indent instanceof HTMLElement) indent.style.paddingLeft = `${(row.level - 1) * 20}px`
    return element
  }

  rows.addEventListener('scroll', () => requestAnimationFrame(draw), { passive: true })
  new ResizeObserver(draw).observe(rows)
  filter.addEventListener('input', select)
  rows.addEventListener('keydown', (event) => {
    const row = seen[at]
    const moves = {
      ArrowDown: 1,
      ArrowUp: -1,
      PageDown: 10,
      PageUp: -10,
      Home: -seen.length,
      End: seen.length,
    }
    const move = moves[/** @type {keyof typeof moves} */ (event.key)]
    if (move !== undefined) {
      at = Math.max(0, Math.min(seen.length - 1, at + move))
      const top = at * ROW_PIXELS
      if (top < rows.scrollTop) rows.scrollTop = top
      else if (top + ROW_PIXELS > rows.scrollTop + rows.clientHeight)
        rows.scrollTop = top + ROW_PIXELS - rows.clientHeight
      draw()
    } else if (event.key === 'Enter' && row) {
      steer(row)
    } else if (event.key === 'ArrowLeft' && row) {
      closed.add(row.path)
      select()
    } else if (event.key === 'ArrowRight' && row) {
      closed.delete(row.path)
      select()
    } else {
      return
    }
    event.preventDefault()
  })

  return {
    /** @param {{ members: readonly Member[], actors: readonly Actor[], workers: readonly Worker[] }} now */
    show({ members, actors, workers }) {
      all = rowsOf(members, actors, workers)
      count.textContent = `${members.length} members, ${actors.length} actors`
      select()
    },
    /** @param {string} member @param {'dead' | 'back'} how */
    flash(member, how) {
      flashes.set(member, { how, until: performance.now() + FLASH_MS })
      draw()
    },
  }
}

const healthName = { good: 'well', warn: 'starting or stopping', bad: 'does not answer' }

/** @param {readonly Member[]} members @param {readonly Actor[]} actors @param {readonly Worker[]} workers @returns {Row[]} */
function rowsOf(members, actors, workers) {
  /** @type {Map<string, Actor[]>} */
  const inside = new Map()
  for (const actor of actors) {
    const list = inside.get(actor.member)
    if (list) list.push(actor)
    else inside.set(actor.member, [actor])
  }
  const states = new Map(workers.map((worker) => [worker.id, worker]))
  const missing = workers.filter(({ id }) => !members.some(({ name }) => name === id))
  return [
    ...members.flatMap((member) => [
      memberRow(member, states.get(member.name)),
      ...(inside.get(member.name) ?? []).map(actorRow),
    ]),
    ...missing.map(missingRow),
  ]
}

/** @param {Member} member @param {Worker | undefined} worker @returns {Row} */
function memberRow(member, worker) {
  const isReady = !worker || worker.state === 'ready'
  const device = worker?.device && worker.device !== 'cpu' ? worker.device : ''
  return {
    path: member.name,
    name: member.name,
    level: 1,
    isMember: true,
    hasChildren: true,
    kind: member.role,
    incarnation: member.incarnation,
    mailbox: member.mailboxMessages,
    restarts: 0,
    health: member.isStale ? 'bad' : isReady ? 'good' : 'warn',
    note: [isReady ? '' : (worker?.state ?? ''), member.isStale ? 'does not answer' : '', device]
      .filter(Boolean)
      .join(', '),
    isRemovable: worker?.isRemovable ?? false,
  }
}

/** A process that has not joined yet. @param {Worker} worker @returns {Row} */
function missingRow({ id, role, incarnation, state, isRemovable }) {
  return {
    path: id,
    name: id,
    level: 1,
    isMember: true,
    hasChildren: false,
    kind: role,
    incarnation,
    mailbox: 0,
    restarts: 0,
    health: state === 'starting' ? 'warn' : 'bad',
    note: state,
    isRemovable,
  }
}

/** @param {Actor} actor @returns {Row} */
function actorRow({
  path,
  kind,
  incarnation,
  mailboxMessages,
  restarts,
  lastCrash,
  version,
  isStale,
}) {
  const names = path.split('/')
  return {
    path,
    name: names.at(-1) ?? path,
    level: names.length,
    isMember: false,
    hasChildren: false,
    kind,
    incarnation,
    mailbox: mailboxMessages,
    restarts,
    health: isStale ? 'bad' : 'good',
    note: [
      version === undefined ? '' : `version ${version}`,
      lastCrash ? `crashed: ${lastCrash}` : '',
    ]
      .filter(Boolean)
      .join(', '),
    isRemovable: false,
  }
}
