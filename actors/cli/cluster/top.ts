// `troupe top`: the run, its members and what happened last, redrawn once a second until q or Ctrl-C.
import process from 'node:process'
import type { Event, Members, Run } from '../../../protocol/control.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { answerOf } from '../../control/client.js'
import { columns } from '../lines.ts'
import type { Call, ClusterCommand } from './command.ts'
import { textOfEvent } from './event-text.ts'
import { resultOf } from './look.ts'

export const topCommand: ClusterCommand = {
  summary: 'The run and its members, live; q ends it. One picture where the output is no terminal.',
  async run(call) {
    if (call.isJson || !process.stdout.isTTY) {
      const look = await lookAt(call)
      call.print(look, () => pictureOf(look, 100, 1_000).join('\n'))
      return 0
    }
    await untilEnded(call)
    return 0
  },
}

export interface Look {
  readonly run: Run | undefined
  readonly members: Members['members']
  readonly recent: readonly Event[]
}

async function lookAt({ api }: Call): Promise<Look> {
  const [{ runs }, { members }, { events }] = await Promise.all([
    answerOf(api.runs.$get()),
    answerOf(api.members.$get()),
    answerOf(api.events.recent.$get({ query: { types: RECENT, limit: '8' } })),
  ])
  const run = runs.find(({ endedAt }) => endedAt === undefined) ?? runs[0]
  return { run, members, recent: events }
}

const RECENT = 'death,recovered,steered,evaluated,accuracy,phase,run,audit'

/** Lines, none wider than the terminal. */
export function pictureOf({ run, members, recent }: Look, width: number, height: number): string[] {
  const rows = members.map((member) => {
    const out = member.links.reduce((sum, link) => sum + link.sentBytesPerSecond, 0)
    const queue = member.links.reduce((sum, link) => sum + link.queueBytes, 0)
    return [
      member.name,
      member.isStale ? 'does not answer' : 'ready',
      `${member.mailboxMessages}`,
      `${inMegabytes(out)}/s`,
      inMegabytes(queue),
      member.memoryBytes === undefined ? '' : inMegabytes(member.memoryBytes),
    ]
  })
  const table = columns([['MEMBER', 'STATE', 'MAILBOX', 'SENDS', 'WAITS', 'MEMORY'], ...rows])
  const lines = [...runLines(run, width), '', ...table.split('\n'), '', ...recent.map(textOfEvent)]
  return lines.slice(0, height).map((line) => line.slice(0, width))
}

function runLines(run: Run | undefined, width: number): string[] {
  if (!run) return ['no run yet: POST /runs, or troupe up speech --data DIR']
  const { done = 0, total = 0 } = run
  const share = total > 0 ? Math.min(1, done / total) : 0
  const room = Math.max(10, Math.min(40, width - 50))
  const filled = Math.round(room * share)
  const bar = `${'█'.repeat(filled)}${'░'.repeat(room - filled)}`
  const facts = [
    run.loss === undefined ? '' : `loss ${run.loss.toPrecision(4)}`,
    run.examplesPerSecond === undefined
      ? ''
      : `${Math.round(run.examplesPerSecond)} ${run.examples ?? 'examples'}/s`,
    run.learningRate === undefined
      ? ''
      : `learning rate ${Number(run.learningRate.toPrecision(3))}`,
    resultOf(run),
    `${run.deaths} deaths`,
  ]
  return [
    `${run.id}  ${run.task}  ${run.state}`,
    `${(run.phase ?? '').padEnd(14)} ${bar} ${done}/${total}`,
    facts.filter((fact) => fact !== '').join('  '),
  ]
}

function inMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`
}

const EVERY_MS = 1_000
const OTHER_SCREEN = '\u001b[?1049h\u001b[?25l'
const OWN_SCREEN = '\u001b[?25h\u001b[?1049l'
const HOME = '\u001b[H\u001b[2J'

async function untilEnded(call: Call): Promise<void> {
  const { clock } = realEnvironment({ seed: 0 })
  const { stdin, stdout } = process
  const ended = Promise.withResolvers<void>()
  const onKey = (key: Buffer): void => {
    if (['q', 'Q', '\u0003'].includes(key.toString())) ended.resolve()
  }
  stdin.setRawMode?.(true)
  stdin.on('data', onKey)
  process.once('SIGINT', ended.resolve)
  process.once('SIGTERM', ended.resolve)
  stdout.write(OTHER_SCREEN)
  let stopClock = (): void => {}
  const draw = async (): Promise<void> => {
    const picture = pictureOf(await lookAt(call), stdout.columns ?? 80, (stdout.rows ?? 24) - 1)
    stdout.write(`${HOME}${picture.join('\r\n')}`)
    stopClock = clock.after(EVERY_MS, () => draw().catch(ended.reject))
  }
  try {
    await draw()
    await ended.promise
  } finally {
    stopClock()
    stdout.write(OWN_SCREEN)
    stdin.setRawMode?.(false)
    stdin.off('data', onKey)
    stdin.pause()
  }
}
