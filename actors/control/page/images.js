// @ts-check
// Sample predictions, classes confused, and what the stages of a pipeline did lately.
import { blob } from './api.js'
import { byId, h, renew, svg } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Samples} Samples */
/** @typedef {import('../../../protocol/control.ts').Confusion} Confusion */
/** @typedef {import('../../../protocol/control.ts').Timeline} Timeline */

/** @param {string} run @param {Samples} samples */
export function showSamples(run, { model, samples }) {
  byId('images').hidden = false
  renew(byId('samples'), JSON.stringify([model, samples]), () =>
    samples.map((sample) => sampleOf(run, sample)),
  )
}

/** @param {string} run @param {Samples['samples'][number]} sample */
function sampleOf(run, { index, label, predictions }) {
  const [best] = predictions
  const isRight = best?.label === label
  const image = h('img', { alt: `a test image of ${label}`, loading: 'lazy' })
  void blob(`/runs/${encodeURIComponent(run)}/images/${index}`).then(
    (bytes) => Object.assign(image, { src: URL.createObjectURL(bytes) }),
    () => {},
  )
  const chance = best ? `${Math.round(100 * best.probability)} %` : ''
  return h(
    'figure',
    { className: isRight ? '' : 'wrong' },
    image,
    h(
      'figcaption',
      {},
      isRight ? `${label} ${chance}` : `${best?.label ?? 'nothing'} ${chance}, is ${label}`,
    ),
  )
}

/** @param {Confusion} confusion */
export function showConfusion({ model, classes, counts, pairs }) {
  byId('images').hidden = false
  renew(byId('confusion'), JSON.stringify([model, counts, pairs]), () => [
    h('h3', {}, `Confusion of ${model}`),
    counts && classes.length <= 40 ? matrixOf(classes, counts) : pairsOf(pairs),
  ])
}

/** @param {readonly string[]} classes @param {readonly (readonly number[])[]} counts */
function matrixOf(classes, counts) {
  return h(
    'table',
    { className: 'matrix' },
    h(
      'thead',
      {},
      h(
        'tr',
        {},
        h('th', { scope: 'col' }, 'is \\ seen as'),
        ...classes.map((name) => h('th', { scope: 'col' }, name)),
      ),
    ),
    h(
      'tbody',
      {},
      ...counts.map((row, label) => {
        const total = Math.max(
          1,
          row.reduce((sum, count) => sum + count, 0),
        )
        const cells = row.map((count, seen) => {
          const cell = h(
            'td',
            { title: `${classes[label]} seen as ${classes[seen]}: ${count}` },
            count ? String(count) : '',
          )
          const colour = label === seen ? 'var(--good)' : 'var(--bad)'
          cell.style.background = `color-mix(in srgb, ${colour} ${Math.round((60 * count) / total)}%, transparent)`
          return cell
        })
        return h('tr', {}, h('th', { scope: 'row' }, classes[label] ?? ''), ...cells)
      }),
    ),
  )
}

/** @param {Confusion['pairs']} pairs */
function pairsOf(pairs) {
  return h(
    'ul',
    {},
    ...pairs.map(({ label, prediction, count }) =>
      h('li', {}, `${label} seen as ${prediction}: ${count} times`),
    ),
  )
}

/** @type {readonly [string, string][]} */
const legend = [
  ['forward', 'var(--series-1)'],
  ['backward', 'var(--series-3)'],
  ['push', 'var(--series-2)'],
]

/** @param {string} colour */
function swatch(colour) {
  const mark = h('span', { className: 'dot swatch' })
  mark.style.background = colour
  return mark
}

const ROW = 34
const WIDTH = 900

/** @param {Timeline} timeline */
export function showTimeline({ seconds, stages }) {
  if (stages.length === 0) return
  byId('pipeline').hidden = false
  const x = (/** @type {number} */ time) => 170 + (time / Math.max(0.001, seconds)) * (WIDTH - 180)
  const colours = {
    forward: 'var(--series-1)',
    backward: 'var(--series-3)',
    both: 'var(--series-1)',
    push: 'var(--series-2)',
    wait: 'transparent',
  }
  const rows = stages.map(({ member, replica, stage, idleShare, spans }, index) =>
    svg(
      'g',
      { transform: `translate(0 ${index * ROW + 8})` },
      svg('text', { x: 0, y: 16 }, `${member} (${replica}.${stage})`),
      svg('text', { x: 110, y: 16, class: 'axis' }, `${Math.round(100 * idleShare)} % idle`),
      svg('rect', {
        x: 170,
        y: 2,
        width: WIDTH - 180,
        height: 22,
        rx: 4,
        fill: 'var(--line)',
        opacity: 0.5,
      }),
      ...spans.map(({ kind, from, to, minibatch }) =>
        svg(
          'rect',
          {
            x: x(from),
            y: 2,
            width: Math.max(0.5, x(to) - x(from)),
            height: 22,
            fill: colours[kind],
          },
          svg(
            'title',
            {},
            `${kind} of minibatch ${minibatch}: ${((to - from) * 1_000).toFixed(1)} ms`,
          ),
        ),
      ),
    ),
  )
  byId('timeline').replaceChildren(
    svg(
      'svg',
      {
        width: WIDTH,
        height: stages.length * ROW + 16,
        role: 'img',
        'aria-label': 'Forward, backward and push of each stage; gaps are the bubble',
      },
      ...rows,
    ),
    h(
      'p',
      { className: 'quiet' },
      `The last ${seconds.toFixed(1)} s: `,
      ...legend.flatMap(([name, colour]) => [swatch(colour), `${name}  `]),
      'gaps are the bubble.',
    ),
  )
}
