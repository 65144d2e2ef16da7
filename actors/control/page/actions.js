// @ts-check
// What can be done, each behind a question: buttons of the run, and of a member or an actor.
import { change, hasToken, useToken } from './api.js'
import { byId, h } from './dom.js'

/** @typedef {import('../../../protocol/control.ts').Run} Run */

/**
 * @param {{ title: string, text?: string, confirm: string, isBad?: boolean, fields?: readonly { name: string, label: string, value?: string, type?: string, step?: string, testid?: string, choices?: readonly string[] }[], perform: (values: Record<string, string>) => Promise<unknown> }} question
 */
export function ask(question) {
  const dialog = /** @type {HTMLDialogElement} */ (byId('dialog'))
  const failure = h('p', { className: 'failure', role: 'alert', hidden: true })
  const fields = [...(question.fields ?? []), ...(hasToken() ? [] : [tokenField])]
  const confirm = h(
    'button',
    { type: 'submit', className: question.isBad ? 'bad' : 'main', 'data-testid': 'confirm' },
    question.confirm,
  )
  const form = h(
    'form',
    {
      async onsubmit(/** @type {Event} */ event) {
        event.preventDefault()
        const values = valuesOf(form)
        if (values.token) useToken(values.token)
        Object.assign(confirm, { disabled: true })
        try {
          await question.perform(values)
          dialog.close()
        } catch (error) {
          Object.assign(failure, { hidden: false, textContent: messageOf(error) })
        }
        Object.assign(confirm, { disabled: false })
      },
    },
    h('h2', { id: 'dialog-title' }, question.title),
    ...(question.text ? [h('p', { className: 'quiet' }, question.text)] : []),
    ...fields.map(fieldOf),
    failure,
    h(
      'div',
      { className: 'actions' },
      h('button', { type: 'button', onclick: () => dialog.close() }, 'Cancel'),
      confirm,
    ),
  )
  dialog.replaceChildren(form)
  dialog.showModal()
}

const tokenField = { name: 'token', label: 'Token (printed at the start)', type: 'password' }

/** @param {NonNullable<Parameters<typeof ask>[0]['fields']>[number]} field */
function fieldOf({ name, label, value = '', type = 'text', step, testid, choices }) {
  const properties = { name, value, required: true, 'data-testid': testid }
  const input = choices
    ? h('select', properties, ...choices.map((each) => h('option', { value: each }, each)))
    : h('input', { ...properties, type, ...(step && { step, min: '0' }) })
  if (choices) Object.assign(input, { value: value || choices[0] })
  return h('label', {}, label, input)
}

/** @param {HTMLElement} form @returns {Record<string, string>} */
function valuesOf(form) {
  const entries = new FormData(/** @type {HTMLFormElement} */ (form)).entries()
  return Object.fromEntries([...entries].map(([name, value]) => [name, String(value)]))
}

/** @param {unknown} error */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error)
}

const policies = ['downpour', 'staleness-aware', 'ssp:4', 'hard-sync', 'softsync:1']

/** @param {Run} run @returns {HTMLElement[]} */
export function actionsOf(run) {
  const path = `/runs/${encodeURIComponent(run.id)}`
  const isOn = ['training', 'evaluating', 'paused'].includes(run.state)
  /** @param {string} verb @param {string} label @param {string} text @param {boolean} [isBad] */
  const verb = (verb, label, text, isBad = false) =>
    h(
      'button',
      {
        type: 'button',
        disabled: !isOn,
        className: isBad ? 'bad' : '',
        'data-testid': verb,
        onclick: () =>
          ask({
            title: `${label} ${run.id}?`,
            text,
            confirm: label,
            isBad,
            perform: () => change('POST', `${path}/${verb}`),
          }),
      },
      label,
    )
  return [
    run.state === 'paused'
      ? verb('resume', 'Resume', 'Steps are handed out again.')
      : verb('pause', 'Pause', 'Steps under way are finished; no others begin until you resume.'),
    h(
      'button',
      {
        type: 'button',
        disabled: !isOn,
        'data-testid': 'adjust',
        onclick: () => adjust(run, path),
      },
      'Adjust…',
    ),
    h(
      'button',
      {
        type: 'button',
        disabled: !isOn,
        'data-testid': 'add-worker',
        onclick: () =>
          ask({
            title: 'Add a trainer?',
            text: 'A process is started; it takes steps when it is ready.',
            confirm: 'Add',
            perform: () => change('POST', '/workers'),
          }),
      },
      'Add trainer',
    ),
    verb('checkpoint', 'Checkpoint', 'Every shard writes a snapshot.'),
    verb(
      'drain',
      'Drain',
      'Steps under way are finished, a checkpoint is written, the run ends.',
      true,
    ),
    verb('stop', 'Stop', 'A checkpoint is written and the run ends now. It can be resumed.', true),
  ]
}

/** @param {Run} run @param {string} path */
function adjust(run, path) {
  const rate = run.learningRate === undefined ? '' : String(run.learningRate)
  ask({
    title: 'Adjust the phase under way',
    text: 'The next phase begins with its own learning rate.',
    confirm: 'Adjust',
    fields: [
      {
        name: 'learningRate',
        label: 'Learning rate',
        value: rate,
        type: 'number',
        step: 'any',
        testid: 'adjust-rate',
      },
      {
        name: 'policy',
        label: 'Staleness policy',
        value: run.policy,
        choices: [...new Set([run.policy, ...policies])],
      },
    ],
    async perform({ learningRate, policy }) {
      const changes = {
        ...(learningRate !== rate && { learningRate: Number(learningRate) }),
        ...(policy !== run.policy && { policy }),
      }
      if (Object.keys(changes).length > 0) await change('PATCH', path, changes)
    },
  })
}

/** @param {{ path: string, isMember: boolean, isRemovable: boolean }} target */
export function steer({ path, isMember, isRemovable }) {
  const own = isMember
    ? ['restart', 'kill', ...(isRemovable ? ['remove'] : []), ...faults]
    : ['restart', 'kill', 'stop']
  ask({
    title: path,
    text: isMember
      ? 'Kill sends SIGKILL: its supervisor starts the next life. Restart drains it first. Remove takes a trainer out of the run. Hang, delay and partition are faults for some seconds, where they were allowed at the start.'
      : 'Kill crashes the actor, and its supervisor decides. Restart gives it a fresh state. Stop ends it.',
    confirm: 'Do it',
    isBad: true,
    fields: [{ name: 'how', label: 'What', choices: own, testid: 'steer-how' }],
    perform: async ({ how = '' }) => {
      if (how === 'remove') return await change('DELETE', `/workers/${encodeURIComponent(path)}`)
      if (faults.includes(how)) return await change('POST', '/faults', { target: path, fault: how })
      return await change('POST', `/actors/${encodeURIComponent(path)}/${how}`)
    },
  })
}

const faults = ['hang', 'delay', 'partition']
