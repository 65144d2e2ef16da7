// @ts-check
// The dashboard: asks while it is looked at, never twice for the same, and shows what has changed.
import { actionsOf, messageOf } from './actions.js'
import { ProblemError } from '/responses.js'
import { get, listen } from './api.js'
import { createCurves } from './curves.js'
import { showShards, showTraffic } from './cluster.js'
import { byId, figure, h, inTime, renew } from './dom.js'
import { createEvents, textOf } from './events.js'
import { showConfusion, showSamples, showTimeline } from './images.js'
import { showModels, showRuns } from './models.js'
import { showTranscripts } from './speech.js'
import { createTree } from './tree.js'

/** @typedef {import('../../../protocol/control.ts').Run} Run */

const tree = createTree()
const curves = createCurves()
const events = createEvents()
/** @type {Run | undefined} */
let current

/** @param {readonly Run[]} runs */
function showRun(runs) {
  current = runs.find(({ endedAt }) => endedAt === undefined) ?? runs[0]
  showRuns(runs)
  const state = byId('run-state')
  state.textContent = current?.state ?? 'no run'
  state.dataset.state = current?.state ?? ''
  byId('run-name').textContent = current ? `${current.id} · ${current.task}` : ''
  document.title = current ? `${current.id}: ${current.state} · Troupe` : 'Troupe'
  if (!current) return
  const { phase = '', done = 0, total = 0, unit = '', remainingSeconds, failure } = current
  byId('phase-name').textContent = phase
  const bar = /** @type {HTMLProgressElement} */ (byId('progress'))
  bar.max = Math.max(1, total)
  bar.value = done
  const left =
    remainingSeconds === undefined || current.endedAt ? '' : `, ${inTime(remainingSeconds)} left`
  byId('phase-detail').textContent = total ? `${done} of ${total} ${unit}${left}` : ''
  byId('failure').hidden = !failure
  byId('failure').textContent = failure ?? ''
  showFigures(current)
  const run = current
  renew(byId('actions'), JSON.stringify([run.id, run.state, run.policy, run.learningRate]), () =>
    actionsOf(run),
  )
}

/** @param {Run} run */
function showFigures(run) {
  const {
    loss,
    examples = 'examples',
    examplesPerSecond,
    learningRate,
    errorPercent,
    accuracyPercent,
    deaths,
    policy,
  } = run
  const result =
    accuracyPercent === undefined
      ? ['error rate', errorPercent === undefined ? '–' : `${errorPercent.toFixed(2)} %`]
      : ['accuracy', `${accuracyPercent.toFixed(1)} %`]
  const figures = [
    ['loss', figure(loss), 'loss'],
    [`${examples} a second`, figure(examplesPerSecond)],
    ['learning rate', figure(learningRate), 'learning-rate'],
    result,
    ['deaths', String(deaths)],
    ['policy', policy],
  ]
  renew(byId('figures'), JSON.stringify(figures), () =>
    figures.map(([name = '', value = '', testid]) =>
      h('div', {}, h('dt', {}, name), h('dd', { 'data-testid': testid }, value)),
    ),
  )
}

const ACTORS_MAX = 20_000
/** Above so many actors the tree is asked for less often. */
const MANY_ACTORS = 2_000
let actorCount = 0

async function lookAtCluster() {
  const [members, actors, workers, shards] = await Promise.all([
    get('/members'),
    get(`/actors?limit=${ACTORS_MAX}`),
    get('/workers'),
    get('/shards'),
  ])
  actorCount = actors.actors.length
  tree.show({ members: members.members, actors: actors.actors, workers: workers.workers })
  showTraffic(members.members)
  showShards(shards.shards)
}

async function lookAtRuns() {
  const { runs } = await get('/runs')
  showRun(runs)
  showModels((await get('/models')).models)
}

async function lookAtCurves() {
  if (current) curves.show(await get(`/runs/${encodeURIComponent(current.id)}/history`))
}

/** What a task does not have is not there. */
async function lookAtInsight() {
  if (!current) return
  const path = `/runs/${encodeURIComponent(current.id)}`
  const { id, task } = current
  const looks =
    task === 'speech'
      ? [async () => showTranscripts(id, await get(`${path}/utterances`))]
      : task === 'image'
        ? [
            async () => showSamples(id, await get(`${path}/samples`)),
            async () => showConfusion(await get(`${path}/confusion`)),
            async () => showTimeline(await get(`${path}/timeline`)),
          ]
        : []
  for (const look of looks) {
    try {
      await look()
    } catch (error) {
      if (!(error instanceof ProblemError) || ![404, 409, 503].includes(error.status)) throw error
    }
  }
}

const banner = byId('connection')
let isOpen = true

/** @param {string} text */
function warn(text) {
  banner.hidden = text === ''
  banner.textContent = text
}

/** @param {() => Promise<void>} look @param {() => number} everyMs */
async function keepLooking(look, everyMs) {
  for (;;) {
    if (!document.hidden) {
      try {
        await look()
        if (isOpen) warn('')
      } catch (error) {
        const isRefusal = error instanceof ProblemError
        warn(
          isRefusal
            ? messageOf(error)
            : 'The control plane does not answer: it may have ended. Trying again…',
        )
      }
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs()))
  }
}

/** @param {import('../../../protocol/control.ts').Event} event */
function hear(event) {
  events.add(event)
  if (event.type === 'death') tree.flash(String(event.actor), 'dead')
  if (event.type === 'recovered') tree.flash(String(event.actor), 'back')
  if (event.type === 'death' || event.type === 'recovered') byId('news').textContent = textOf(event)
  if (event.type === 'run' || event.type === 'steered') void lookAtRuns().catch(() => {})
}

byId('theme').addEventListener('click', () => {
  const { theme } = document.documentElement.dataset
  const isDark = theme ? theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches
  document.documentElement.dataset.theme = isDark ? 'light' : 'dark'
  localStorage.setItem('troupe-theme', isDark ? 'light' : 'dark')
  curves.redraw()
})
const kept = localStorage.getItem('troupe-theme')
if (kept) document.documentElement.dataset.theme = kept
curves.redraw()

void listen({
  hear,
  connected(now) {
    isOpen = now
    if (!now) warn('The connection is lost. Trying again…')
  },
})
void keepLooking(lookAtRuns, () => 1_000)
void keepLooking(lookAtCluster, () => (actorCount > MANY_ACTORS ? 3_000 : 1_000))
void keepLooking(lookAtCurves, () => 2_000)
void keepLooking(lookAtInsight, () => 5_000)
