// @ts-check
// Models to download and to ask, and the runs there were.
import { ask, messageOf } from './actions.js'
import { blob, change, get } from './api.js'
import { byId, h, inBytes, renew } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Model} Model */
/** @typedef {import('../../../protocol/control.ts').Predictions} Predictions */
/** @typedef {import('../../../protocol/control.ts').Run} Run */

/** @param {readonly Model[]} models */
export function showModels(models) {
  renew(byId('models'), JSON.stringify(models), () =>
    models.length === 0
      ? [
          h(
            'p',
            { className: 'empty' },
            'A model can be asked once the run has evaluated one, and downloaded when it is over.',
          ),
        ]
      : models.map(modelOf),
  )
}

/** @param {Model} model */
function modelOf({ name, task, files, canPredict }) {
  const result = h('div', { 'data-testid': 'predict-result', 'aria-live': 'polite' })
  const input = h('input', {
    type: 'file',
    accept: task === 'speech' ? 'audio/*' : 'image/*',
    'data-testid': 'predict-file',
    'aria-label': `Ask ${name} about a file`,
    async onchange() {
      const [file] = /** @type {HTMLInputElement} */ (input).files ?? []
      if (!file) return
      result.textContent = 'Asking…'
      try {
        /** @type {Predictions} */
        const answer = await get(`/models/${encodeURIComponent(name)}/predict`, {
          method: 'POST',
          body: file,
        })
        result.replaceChildren(...answer.predictions.map(answerOf))
      } catch (error) {
        result.replaceChildren(h('p', { className: 'failure' }, messageOf(error)))
      }
    },
  })
  return h(
    'article',
    { className: 'shard' },
    h('h3', {}, `${name} `, h('span', { className: 'quiet' }, task)),
    h(
      'p',
      { className: 'actions' },
      ...files.map(({ kind, url, bytes }) =>
        h(
          'button',
          { type: 'button', 'data-testid': `download-${kind}`, onclick: () => download(url) },
          `${kind}, ${inBytes(bytes)}`,
        ),
      ),
    ),
    ...(canPredict ? [input, result] : []),
  )
}

/** With the token, which a link would not send. @param {string} url */
async function download(url) {
  const address = URL.createObjectURL(await blob(url))
  h('a', { href: address, download: decodeURIComponent(url.split('/').at(-1) ?? 'model') }).click()
  setTimeout(() => URL.revokeObjectURL(address), 60_000)
}

/** @param {Predictions['predictions'][number]} answer */
function answerOf({ predictions, words, error }) {
  if (error !== undefined) return h('p', { className: 'failure' }, error)
  if (words) return h('p', {}, words.map(({ word }) => word).join(' ') || 'nothing was recognised')
  return h(
    'ol',
    {},
    ...(predictions ?? []).map(({ label, probability }) =>
      h('li', {}, `${label} ${(100 * probability).toFixed(1)} %`),
    ),
  )
}

/** @param {readonly Run[]} runs */
export function showRuns(runs) {
  renew(
    byId('runs'),
    JSON.stringify(
      runs.map(({ id, state, errorPercent, accuracyPercent }) => [
        id,
        state,
        errorPercent,
        accuracyPercent,
      ]),
    ),
    () => [
      runs.length === 0
        ? h('p', { className: 'empty' }, 'No run yet.')
        : h(
            'table',
            {},
            h(
              'thead',
              {},
              h(
                'tr',
                {},
                ...['run', 'task', 'state', 'began', 'result'].map((name) =>
                  h('th', { scope: 'col' }, name),
                ),
              ),
            ),
            h('tbody', {}, ...runs.map(runOf)),
          ),
    ],
  )
  const isActive = runs.some(({ endedAt }) => endedAt === undefined)
  renew(byId('new-run'), String(isActive), () =>
    isActive
      ? []
      : [
          h(
            'button',
            { type: 'button', className: 'main', 'data-testid': 'new-run', onclick: begin },
            'Start a run…',
          ),
        ],
  )
}

/** @param {Run} run */
function runOf({ id, task, state, startedAt, errorPercent, accuracyPercent }) {
  const result =
    errorPercent !== undefined
      ? `${errorPercent.toFixed(2)} % errors`
      : accuracyPercent !== undefined
        ? `${accuracyPercent.toFixed(1)} % top-1`
        : '–'
  return h(
    'tr',
    {},
    h('td', {}, id),
    h('td', {}, task),
    h('td', {}, h('span', { className: 'chip', 'data-state': state }, state)),
    h('td', {}, new Date(startedAt).toLocaleTimeString()),
    h('td', {}, result),
  )
}

function begin() {
  ask({
    title: 'Start a run',
    text: 'Paths are those of the machine that runs the control plane. Options are those of the command line.',
    confirm: 'Start',
    fields: [
      { name: 'task', label: 'Task', choices: ['speech', 'image', 'model'] },
      { name: 'data', label: 'Data (folder)' },
      { name: 'options', label: 'Other options, as JSON', value: '{}' },
    ],
    perform: ({ task, data, options }) =>
      change('POST', '/runs', { task, options: { ...JSON.parse(options || '{}'), data } }),
  })
}
