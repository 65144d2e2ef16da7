// @ts-check
// Transcripts, word by word beside their references, and the lattice of the one that is chosen.
import { get } from './api.js'
import { messageOf } from './actions.js'
import { byId, h, renew, svg } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Utterances} Utterances */
/** @typedef {import('../../../protocol/control.ts').Lattice} Lattice */

const ROWS_MAX = 40

/** @param {string} run @param {Utterances} transcripts */
export function showTranscripts(run, { model, utterances }) {
  byId('speech').hidden = false
  const shown = utterances.slice(0, ROWS_MAX)
  renew(byId('transcripts'), JSON.stringify([model, shown]), () => [
    h(
      'p',
      { className: 'quiet' },
      model
        ? `Recognised by ${model}; ${shown.length} of ${utterances.length} strings. Choose one to see its lattice.`
        : 'Recognised when the first epoch is over.',
    ),
    h(
      'table',
      {},
      h(
        'thead',
        {},
        h(
          'tr',
          {},
          ...['string', 'reference', 'recognised', 'errors'].map((name) =>
            h('th', { scope: 'col' }, name),
          ),
        ),
      ),
      h('tbody', {}, ...shown.map((utterance) => rowOf(run, utterance))),
    ),
  ])
}

/** @param {string} run @param {Utterances['utterances'][number]} utterance */
function rowOf(run, { id, reference, hypothesis, errors }) {
  return h(
    'tr',
    {},
    h(
      'td',
      {},
      h(
        'button',
        {
          type: 'button',
          className: 'bare',
          'data-testid': 'utterance',
          onclick: () => choose(run, id),
        },
        id,
      ),
    ),
    h('td', {}, reference.join(' ')),
    h('td', {}, ...(hypothesis ? compared(reference, hypothesis) : ['–'])),
    h('td', { className: 'number' }, errors === undefined ? '–' : String(errors)),
  )
}

/** Levenshtein, with its path: what was said and what was heard, marked. @param {readonly string[]} reference @param {readonly string[]} hypothesis */
function compared(reference, hypothesis) {
  const cost = Array.from({ length: reference.length + 1 }, (_, i) =>
    Array.from({ length: hypothesis.length + 1 }, (_, j) => (i === 0 ? j : j === 0 ? i : 0)),
  )
  const at = (/** @type {number} */ i, /** @type {number} */ j) =>
    cost[i]?.[j] ?? Number.POSITIVE_INFINITY
  for (let i = 1; i <= reference.length; i++) {
    for (let j = 1; j <= hypothesis.length; j++) {
      const same = reference[i - 1] === hypothesis[j - 1] ? 0 : 1
      const row = cost[i]
      if (row) row[j] = Math.min(at(i - 1, j - 1) + same, at(i - 1, j) + 1, at(i, j - 1) + 1)
    }
  }
  const words = []
  let [i, j] = [reference.length, hypothesis.length]
  while (i > 0 || j > 0) {
    const same = i > 0 && j > 0 && reference[i - 1] === hypothesis[j - 1]
    if (i > 0 && j > 0 && at(i, j) === at(i - 1, j - 1) + (same ? 0 : 1)) {
      i -= 1
      j -= 1
      words.push(
        same
          ? h('span', { className: 'word' }, hypothesis[j] ?? '')
          : h(
              'span',
              { className: 'word sub', title: `instead of ${reference[i]}` },
              `${hypothesis[j]} (for ${reference[i]})`,
            ),
      )
    } else if (i > 0 && at(i, j) === at(i - 1, j) + 1) {
      i -= 1
      words.push(h('span', { className: 'word del', title: 'not recognised' }, `${reference[i]}`))
    } else {
      j -= 1
      words.push(h('span', { className: 'word ins', title: 'was not said' }, `+${hypothesis[j]}`))
    }
  }
  return words.reverse()
}

/** @param {string} run @param {string} id */
async function choose(run, id) {
  const place = byId('lattice')
  place.replaceChildren(h('p', { className: 'quiet' }, 'Decoding…'))
  try {
    const lattice = await get(
      `/runs/${encodeURIComponent(run)}/utterances/${encodeURIComponent(id)}/lattice`,
    )
    place.replaceChildren(
      h('h3', {}, `Lattice of ${id}`),
      h('div', { className: 'scroll' }, drawn(/** @type {Lattice} */ (lattice))),
    )
  } catch (error) {
    place.replaceChildren(h('p', { className: 'failure' }, messageOf(error)))
  }
}

const HEIGHT = 220
const SECOND = 240
/** From the middle to the top of the first bow. */
const LANE = 26
const LANES_MAX = 6

/**
 * The likeliest go straight; whoever stands beside them bows, to either side in turn.
 * @param {Lattice['states']} states
 * @param {Lattice['arcs']} arcs
 */
function lanesOf(states, arcs) {
  const time = (/** @type {number} */ state) => states[state]?.time ?? 0
  /** @type {{ arc: Lattice['arcs'][number], lane: number }[]} */
  const placed = []
  for (const arc of [...arcs].sort((a, b) => b.posterior - a.posterior)) {
    const beside = placed.filter(
      (other) =>
        time(other.arc.from) < time(arc.to) - 0.01 && time(arc.from) < time(other.arc.to) - 0.01,
    )
    const taken = new Set(beside.map(({ lane }) => lane))
    let lane = 0
    while (taken.has(lane) && lane < LANES_MAX) lane += 1
    placed.push({ arc, lane })
  }
  return placed
}

/** States on the axis of time; arcs as thick as they are likely. @param {Lattice} lattice */
function drawn({ states, arcs, words, alignment, frames, frameMs, reference }) {
  const seconds = (frames * frameMs) / 1_000
  const width = Math.max(600, seconds * SECOND + 40)
  const x = (/** @type {number} */ time) => 20 + time * SECOND
  const middle = HEIGHT / 2
  const curves = lanesOf(states, arcs).map(({ arc, lane }) => {
    const { word, posterior } = arc
    const [from, to] = [states[arc.from]?.time ?? 0, states[arc.to]?.time ?? 0]
    const bow = middle + (lane % 2 ? -1 : 1) * Math.ceil(lane / 2) * LANE * 2
    const top = (middle + bow) / 2
    return svg(
      'g',
      { opacity: 0.2 + 0.8 * posterior },
      svg('path', {
        d: `M${x(from)} ${middle} Q${x((from + to) / 2)} ${bow} ${x(to)} ${middle}`,
        fill: 'none',
        stroke: 'var(--accent)',
        'stroke-width': 0.5 + 5 * posterior,
      }),
      ...(posterior > 0.02 && word
        ? [svg('text', { x: x((from + to) / 2), y: top - 6, 'text-anchor': 'middle' }, word)]
        : []),
      svg('title', {}, `${word || 'silence'}: ${(100 * posterior).toFixed(1)} %`),
    )
  })
  const strip = (
    /** @type {readonly { from: number, to: number, label: string }[]} */ spans,
    /** @type {number} */ y,
  ) =>
    spans.map(({ from, to, label }, index) =>
      svg(
        'g',
        {},
        svg('rect', {
          x: x(from),
          y,
          width: Math.max(1, (to - from) * SECOND - 1),
          height: 18,
          rx: 3,
          fill: 'var(--accent)',
          opacity: index % 2 ? 0.16 : 0.28,
        }),
        ...((to - from) * SECOND > 7 * label.length
          ? [svg('text', { x: x((from + to) / 2), y: y + 13, 'text-anchor': 'middle' }, label)]
          : []),
        svg('title', {}, `${label} ${from.toFixed(2)} – ${to.toFixed(2)} s`),
      ),
    )
  const ticks = Array.from({ length: Math.floor(seconds * 2) + 1 }, (_, index) =>
    svg(
      'text',
      { class: 'axis', x: x(index / 2), y: HEIGHT + 74, 'text-anchor': 'middle' },
      `${index / 2} s`,
    ),
  )
  return svg(
    'svg',
    {
      width,
      height: HEIGHT + 84,
      viewBox: `0 0 ${width} ${HEIGHT + 84}`,
      role: 'img',
      'aria-label': `Reference: ${reference.join(' ')}. Recognised: ${words.map(({ word }) => word).join(' ')}.`,
    },
    ...curves,
    ...states.map(({ time }) =>
      svg('circle', { cx: x(time), cy: middle, r: 2.5, fill: 'var(--ink)' }),
    ),
    ...strip(
      words.map(({ word, ...span }) => ({ ...span, label: word })),
      HEIGHT + 10,
    ),
    ...strip(alignment, HEIGHT + 34),
    ...ticks,
  )
}
