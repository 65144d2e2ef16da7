// @ts-check
// Shards with their staleness, and who talks to whom.
import { byId, figure, h, inBytes, renew } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Shard} Shard */
/** @typedef {import('../../../protocol/control.ts').Member} Member */

/** @param {readonly Shard[]} shards */
export function showShards(shards) {
  renew(byId('shards'), JSON.stringify(shards), () =>
    shards.length === 0
      ? [h('p', { className: 'empty' }, 'Shards appear when training begins.')]
      : shards.map(shardOf),
  )
}

/** @param {Shard} shard */
function shardOf({
  id,
  offset,
  length,
  version,
  policy,
  optimizer,
  learningRate,
  staleness,
  updates,
  journalBytes,
}) {
  const most = Math.max(1, ...staleness)
  const total = staleness.reduce((sum, count) => sum + count, 0)
  const bars = staleness.map((count, index) => {
    const bar = h('i', { title: `staleness ${index}: ${count} updates` })
    bar.style.height = `${Math.max(count > 0 ? 4 : 0, (100 * count) / most)}%`
    return bar
  })
  const worst = Math.max(0, staleness.length - 1)
  const mean = staleness.reduce((sum, count, index) => sum + count * index, 0) / Math.max(1, total)
  return h(
    'article',
    { className: 'shard' },
    h('h3', {}, `${id} `, h('span', { className: 'quiet' }, `version ${version}`)),
    h(
      'div',
      {
        className: 'bars',
        role: 'img',
        'aria-label': `staleness: mean ${figure(mean)}, at most ${worst}`,
      },
      ...bars,
    ),
    h('div', { className: 'quiet' }, `staleness 0 to ${worst}, mean ${figure(mean)}`),
    h('div', {}, `${optimizer || '–'} at ${figure(learningRate)}, ${policy || '–'}`),
    h(
      'div',
      { className: 'quiet' },
      `${figure(length)} parameters from ${figure(offset)}; ${figure(updates.applied)} applied, ${updates.refused} refused, ${updates.duplicates} twice; journal ${inBytes(journalBytes)}`,
    ),
  )
}

/** @param {readonly Member[]} members */
export function showTraffic(members) {
  const key = JSON.stringify(
    members.map(({ name, links, memoryBytes }) => [name, links, memoryBytes]),
  )
  renew(byId('traffic'), key, () =>
    members.length < 2
      ? [h('p', { className: 'empty' }, 'Members appear when the run has its processes.')]
      : [matrixOf(members)],
  )
}

/** @param {readonly Member[]} members */
function matrixOf(members) {
  const rates = members.flatMap(({ links }) =>
    links.map(({ sentBytesPerSecond }) => sentBytesPerSecond),
  )
  const most = Math.max(1, ...rates)
  const names = members.map(({ name }) => name)
  return h(
    'table',
    { className: 'matrix' },
    h(
      'caption',
      { className: 'hidden' },
      'Bytes a second, from the member of the row to that of the column',
    ),
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'from \\ to'),
        ...names.map((name) => h('th', { scope: 'col' }, name)),
        h('th', { scope: 'col' }, 'memory'),
      ),
    ),
    h(
      'tbody',
      {},
      ...members.map((member) =>
        h(
          'tr',
          {},
          h('th', { scope: 'row' }, member.name),
          ...names.map((name) =>
            cellOf(
              member.links.find(({ to }) => to === name),
              most,
            ),
          ),
          h('td', { className: 'quiet' }, member.memoryBytes ? inBytes(member.memoryBytes) : '–'),
        ),
      ),
    ),
  )
}

/** @param {Member['links'][number] | undefined} link @param {number} most */
function cellOf(link, most) {
  if (!link) return h('td', { className: 'quiet' }, '·')
  const { sentBytesPerSecond: rate, queueBytes, isConnected } = link
  const share = Math.round(45 * Math.sqrt(rate / most))
  const cell = h(
    'td',
    { title: `${inBytes(rate)} a second; ${inBytes(queueBytes)} wait` },
    isConnected ? inBytes(rate) : 'cut',
    queueBytes > 1e6 ? ` (${inBytes(queueBytes)} wait)` : '',
  )
  cell.style.background = `color-mix(in srgb, var(--accent) ${share}%, transparent)`
  return cell
}
