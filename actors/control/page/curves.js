// @ts-check
// Curves over the seconds of a run, with a mark where somebody died.
import uPlot from '/assets/uplot/uPlot.esm.js'
import { byId, figure, h, inTime } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').History} History */

/** @type {readonly { name: string, colour: string, isLog?: boolean, columns: (history: History) => [number[], (number | null)[]] }[]} */
const charts = [
  { name: 'Loss', colour: '--series-1', columns: ({ seconds, loss }) => [seconds, loss] },
  {
    name: 'Examples a second',
    colour: '--series-2',
    columns: ({ seconds, examplesPerSecond }) => [seconds, examplesPerSecond],
  },
  {
    name: 'Learning rate',
    colour: '--series-3',
    columns: ({ seconds, learningRate }) => [seconds, learningRate],
  },
  {
    name: 'Error rate or accuracy, %',
    colour: '--series-4',
    columns: ({ evaluations }) => [
      evaluations.map(({ seconds }) => seconds),
      evaluations.map(
        ({ errorPercent, accuracyPercent }) => errorPercent ?? accuracyPercent ?? null,
      ),
    ],
  },
]

const HEIGHT = 170

export function createCurves() {
  const place = byId('curves')
  /** @type {History | undefined} */
  let last
  let plots = charts.map(plotOf)
  place.replaceChildren(...plots.map(({ element }) => element))

  function redraw() {
    for (const { dispose } of plots) dispose()
    plots = charts.map(plotOf)
    place.replaceChildren(...plots.map(({ element }) => element))
    if (last) for (const plot of plots) plot.show(last)
  }

  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw)
  return {
    redraw,
    /** @param {History} history */
    show(history) {
      last = history
      for (const plot of plots) plot.show(history)
    },
  }
}

/** A colour of the theme, as a canvas understands it. @param {string} name */
function colour(name) {
  const probe = h('span')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const made = getComputedStyle(probe).color
  probe.remove()
  return made
}

/** @param {(typeof charts)[number]} chart */
function plotOf(chart) {
  const value = h('b')
  const canvas = h('div', { role: 'img', 'aria-label': chart.name })
  const element = h('figure', {}, h('figcaption', {}, `${chart.name} `, value), canvas)
  const axis = {
    stroke: colour('--quiet'),
    grid: { stroke: colour('--line'), width: 1 },
    ticks: { show: false },
    font: '11px system-ui',
  }
  /** @type {History['deaths']} */
  let deaths = []
  const plot = new uPlot(
    {
      width: 280,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false },
      scales: { x: { time: false } },
      axes: [
        {
          ...axis,
          values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map(inTime),
        },
        {
          ...axis,
          size: 52,
          values: (/** @type {unknown} */ _, /** @type {number[]} */ ticks) => ticks.map(figure),
        },
      ],
      series: [
        {},
        {
          stroke: colour(chart.colour),
          width: 2,
          spanGaps: true,
          points: { show: chart.name.startsWith('Error') },
        },
      ],
      hooks: {
        draw: [
          (/** @type {uPlot} */ drawn) => {
            const { ctx, bbox } = drawn
            ctx.save()
            ctx.strokeStyle = colour('--bad')
            ctx.setLineDash([3, 4])
            for (const { seconds } of deaths) {
              const x = Math.round(drawn.valToPos(seconds, 'x', true))
              if (x < bbox.left || x > bbox.left + bbox.width) continue
              ctx.beginPath()
              ctx.moveTo(x, bbox.top)
              ctx.lineTo(x, bbox.top + bbox.height)
              ctx.stroke()
            }
            ctx.restore()
          },
        ],
      },
    },
    [[], []],
    canvas,
  )
  const sizes = new ResizeObserver(([entry]) => {
    const width = Math.floor(entry?.contentRect.width ?? 0)
    if (width > 0) plot.setSize({ width, height: HEIGHT })
  })
  sizes.observe(canvas)
  let key = ''
  return {
    element,
    dispose() {
      sizes.disconnect()
      plot.destroy()
    },
    /** @param {History} history */
    show(history) {
      const [seconds, values] = chart.columns(history)
      const now = JSON.stringify([
        history.run,
        seconds.length,
        seconds.at(-1),
        history.deaths.length,
      ])
      if (now === key) return
      key = now
      deaths = history.deaths
      const newest = values.findLast((each) => each !== null)
      value.textContent = newest === undefined ? 'nothing yet' : figure(newest)
      canvas.setAttribute(
        'aria-label',
        `${chart.name}: now ${figure(newest)}; ${deaths.length} deaths are marked`,
      )
      plot.setData([seconds, values])
    },
  }
}
