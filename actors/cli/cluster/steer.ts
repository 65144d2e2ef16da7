// Steering a running cluster: each command is one request, asked about first where somebody could regret it.
import process from 'node:process'
import { createInterface } from 'node:readline/promises'
import { answerOf } from '../../control/client.js'
import { UsageError, type OptionTable } from '../options.ts'
import type { Call, ClusterCommand } from './command.ts'
import { ClusterError } from './connect.ts'

const yes = { yes: { kind: 'flag', help: 'do not ask' } } as const satisfies OptionTable

/** On a terminal somebody is asked; a script knows what it does. */
async function confirm({ values, isJson }: Call, question: string): Promise<boolean> {
  if (values.yes === true || isJson || !process.stdin.isTTY || !process.stderr.isTTY) return true
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  const answer = await terminal.question(`${question} [y/N] `)
  terminal.close()
  return /^y(es)?$/i.test(answer.trim())
}

/** The run that is under way. */
export async function activeRun({ api }: Call): Promise<string> {
  const { runs } = await answerOf(api.runs.$get())
  const active = runs.find(({ endedAt }) => endedAt === undefined)
  if (active) return active.id
  throw new ClusterError('no run is under way')
}

type Done = { readonly done: string }

function verb(
  name: 'pause' | 'resume' | 'drain' | 'stop' | 'checkpoint',
  summary: string,
  question?: string,
): ClusterCommand {
  return {
    summary,
    ...(question !== undefined && { table: yes }),
    async run(call) {
      const id = await activeRun(call)
      if (question !== undefined && !(await confirm(call, `${question} ${id}?`))) return 1
      const routes = call.api.runs[':id']
      const done: Done = await answerOf(routes[name].$post({ param: { id } }))
      call.print(done, () => `${id}: ${done.done}`)
      return 0
    },
  }
}

export const pauseCommand = verb('pause', 'Hand out no more steps; those under way are finished.')
export const resumeCommand = verb('resume', 'Hand out steps again.')
export const checkpointCommand = verb('checkpoint', 'Every shard writes a snapshot.')
export const drainCommand = verb(
  'drain',
  'Finish the steps under way, write a checkpoint, end the run.',
  'Drain',
)
export const stopCommand = verb(
  'stop',
  'Write a checkpoint and end the run now; it goes on with --resume.',
  'Stop',
)

function actorVerb(name: 'kill' | 'restart', summary: string): ClusterCommand {
  return {
    summary,
    words: ['MEMBER[/ACTOR]'],
    table: yes,
    async run(call) {
      const [path = ''] = call.words
      if (!(await confirm(call, `${name} ${path}?`))) return 1
      const routes = call.api.actors[':path{.+}']
      const done: Done = await answerOf(routes[name].$post({ param: { path } }))
      call.print(done, () => done.done)
      return 0
    },
  }
}

export const killCommand = actorVerb(
  'kill',
  'SIGKILL for a process, a crash for an actor in it; its supervisor brings it back.',
)
export const restartCommand = actorVerb(
  'restart',
  'The next life of a process or an actor, in order.',
)

export const setCommand: ClusterCommand = {
  summary: 'Change the phase under way.',
  table: {
    'learning-rate': {
      kind: 'number',
      range: [1e-12, 1_000],
      value: 'RATE',
      help: 'of the next update',
    },
    policy: { kind: 'text', value: 'NAME', help: 'downpour, staleness-aware, ssp:BOUND, ...' },
  },
  async run(call) {
    const { 'learning-rate': learningRate, policy } = call.values
    if (learningRate === undefined && policy === undefined) {
      throw new UsageError('set: give --learning-rate, --policy or both; --help explains')
    }
    const id = await activeRun(call)
    const json = {
      ...(typeof learningRate === 'number' && { learningRate }),
      ...(typeof policy === 'string' && { policy }),
    }
    const run = await answerOf(call.api.runs[':id'].$patch({ param: { id }, json }))
    call.print(
      run,
      () =>
        `${id}: ${Object.entries(json)
          .map(([name, value]) => `${name} ${value}`)
          .join(', ')}`,
    )
    return 0
  },
}

/** Removed are those that came last. */
export const scaleCommand: ClusterCommand = {
  summary: 'Add or remove trainers until there are N.',
  words: ['N'],
  async run(call) {
    const wanted = Number(call.words[0])
    if (!Number.isInteger(wanted) || wanted < 1 || wanted > 64) {
      throw new UsageError(`scale: '${call.words[0]}'; give a whole number from 1 to 64`)
    }
    const trainers = await trainersOf(call)
    for (let count = trainers.length; count < wanted; count++) {
      await answerOf(call.api.workers.$post())
    }
    for (const id of trainers.slice(wanted).reverse()) {
      await answerOf(call.api.workers[':id'].$delete({ param: { id } }))
    }
    const now = await trainersOf(call)
    call.print({ trainers: now }, () => `${now.length} trainers: ${now.join(', ')}`)
    return 0
  },
}

async function trainersOf({ api }: Call): Promise<string[]> {
  const { workers } = await answerOf(api.workers.$get())
  const number = (id: string): number => Number(id.split('-').at(-1))
  return workers
    .filter(({ role, state }) => role === 'trainer' && state !== 'stopped')
    .map(({ id }) => id)
    .sort((a, b) => number(a) - number(b))
}
