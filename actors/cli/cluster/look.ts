// Looking at a running cluster: its runs, its tree, its events, its logs.
import process from 'node:process'
import type { Actor, Event, Member, Run, Worker } from '../../../protocol/control.ts'
import { answerOf, events } from '../../control/client.js'
import { columns } from '../lines.ts'
import type { Call, ClusterCommand } from './command.ts'
import { textOfEvent } from './event-text.ts'

export const runsCommand: ClusterCommand = {
  summary: 'Runs of this control plane, the newest first.',
  async run({ api, print }) {
    const { runs } = await answerOf(api.runs.$get())
    print(runs, () => (runs.length === 0 ? 'no run yet' : runTable(runs)))
    return 0
  },
}

function runTable(runs: readonly Run[]): string {
  return columns([
    ['RUN', 'TASK', 'STATE', 'PHASE', 'DONE', 'LOSS', 'RESULT'],
    ...runs.map((run) => [
      run.id,
      run.task,
      run.state,
      run.phase ?? '',
      run.total ? `${run.done ?? 0}/${run.total}` : '',
      run.loss?.toPrecision(4) ?? '',
      resultOf(run),
    ]),
  ])
}

export function resultOf({ errorPercent, accuracyPercent }: Run): string {
  if (errorPercent !== undefined) return `${errorPercent.toFixed(2)} % errors`
  return accuracyPercent === undefined ? '' : `${accuracyPercent.toFixed(1)} % top-1`
}

export const psCommand: ClusterCommand = {
  summary: 'Members, and the tree of actors in them.',
  async run({ api, print }) {
    const [{ actors }, { members }, { workers }] = await Promise.all([
      answerOf(api.actors.$get({ query: { limit: '20000' } })),
      answerOf(api.members.$get()),
      answerOf(api.workers.$get()),
    ])
    print({ members, actors, workers }, () => treeOf(members, actors, workers))
    return 0
  },
}

/** A member a branch, its actors the twigs. */
export function treeOf(
  members: readonly Member[],
  actors: readonly Actor[],
  workers: readonly Worker[],
): string {
  if (members.length === 0) return 'no run is under way'
  const states = new Map(workers.map(({ id, state }) => [id, state]))
  const rows = members.flatMap((member) => {
    const own = actors.filter((actor) => actor.member === member.name)
    const health = member.isStale ? 'does not answer' : (states.get(member.name) ?? 'ready')
    const life = `${member.incarnation}`
    return [
      [member.name, member.role, life, `${member.mailboxMessages}`, '', health],
      ...own.map((actor, index) => twigOf(actor, index === own.length - 1)),
    ]
  })
  return columns([['MEMBER', 'KIND', 'LIFE', 'MAILBOX', 'RESTARTS', 'STATE'], ...rows])
}

function twigOf(actor: Actor, isLast: boolean): string[] {
  const names = actor.path.split('/').slice(1)
  const indent = '  '.repeat(names.length - 1)
  return [
    `${indent}${isLast ? '└─' : '├─'} ${names.at(-1) ?? ''}`,
    actor.kind,
    `${actor.incarnation % 2 ** 32}`,
    `${actor.mailboxMessages}`,
    actor.restarts > 0 ? `${actor.restarts}` : '',
    actor.lastCrash ?? '',
  ]
}

export const eventsCommand: ClusterCommand = {
  summary: 'What happens, as it happens, until Ctrl-C.',
  table: {
    since: {
      kind: 'integer',
      range: [0, Number.MAX_SAFE_INTEGER],
      value: 'ID',
      help: 'also those that are still kept after it; 0: all of them',
    },
    types: { kind: 'text', value: 'NAMES', help: 'only these, with commas between' },
  },
  async run(call) {
    const { since, types } = call.values
    await followEvents(call, {
      ...(typeof since === 'number' && { after: since }),
      ...(typeof types === 'string' && { types: types.split(',') }),
    })
    return 0
  },
}

/** Ends with Ctrl-C, with whoever reads the lines, or with the cluster. */
async function followEvents(
  { url, token, isJson }: Call,
  from: { readonly after?: number; readonly types?: readonly string[] },
  line: (event: Event) => string | undefined = textOfEvent,
): Promise<void> {
  const stop = new AbortController()
  process.once('SIGINT', () => stop.abort())
  process.stdout.on('error', () => stop.abort())
  const options = {
    ...from,
    signal: stop.signal,
    triesMax: 4,
    ...(token !== undefined && { token }),
  }
  for await (const event of events(url, options)) {
    const text = isJson ? JSON.stringify(event) : line(event)
    if (text !== undefined) process.stdout.write(`${text}\n`)
  }
}

export const logsCommand: ClusterCommand = {
  summary: 'Log lines of all members, or of one.',
  words: ['MEMBER?'],
  table: {
    follow: { kind: 'flag', help: 'go on until Ctrl-C' },
    level: { kind: 'text', value: 'NAME', choices: ['info', 'warn'], help: 'only these' },
    limit: { kind: 'integer', range: [1, 5_000], value: 'N', help: 'lines', byDefault: '200' },
  },
  async run(call) {
    const { api, words, values, isJson } = call
    const [member] = words
    const { lines } = await answerOf(
      api.logs.$get({
        query: {
          ...(member !== undefined && { member }),
          ...(typeof values.level === 'string' && { level: values.level }),
          limit: String(values.limit ?? 200),
        },
      }),
    )
    for (const line of lines) {
      const { at, path, level, message } = line
      const time = new Date(at).toISOString().slice(11, 19)
      console.log(
        isJson ? JSON.stringify(line) : `${time} ${level} ${line.member}${path}: ${message}`,
      )
    }
    if (values.follow !== true) return 0
    const isWanted = (event: Event) => member === undefined || event.member === member
    const last = lines.at(-1)?.id
    await followEvents(
      call,
      { types: ['log'], ...(last !== undefined && { after: last }) },
      (event) => (isWanted(event) ? textOfEvent(event) : undefined),
    )
    return 0
  },
}
