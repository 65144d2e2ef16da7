// Progress for people: a bar a phase on a terminal, plain lines elsewhere; deaths and recoveries as they
// happen. `renderEvent` is pure; `progressWriter` only writes.
import process from 'node:process'
import type { PhaseName, RunEvent } from '../events.ts'

export interface ProgressStyle {
  readonly columns: number
  readonly colour: boolean
  /** A terminal: the bar is redrawn in place. */
  readonly interactive: boolean
}

export interface Rendered {
  /** Lines that stay. */
  readonly lines: readonly string[]
  /** The bar to show below them; absent: leave it as it is, '': remove it. */
  readonly bar?: string
}

const titles: { readonly [P in PhaseName]: string } = {
  synthesise: 'Speaking digits',
  prepare: 'Preparation',
  align: 'Realignment',
  'cross-entropy': 'Cross-entropy',
  control: 'Control',
  sequence: 'Sequence training',
  images: 'Training',
  'fine-tuning': 'Fine-tuning',
  evaluate: 'Evaluation',
}

const RED = 31
const GREEN = 32
const DIM = 2
const CLEAR_LINE = '\r\u001b[2K'

export function renderEvent(event: RunEvent, style: ProgressStyle): Rendered {
  const paint = (code: number, text: string): string =>
    style.colour ? `\u001b[${code}m${text}\u001b[0m` : text
  switch (event.type) {
    case 'phase': {
      const title = `${titles[event.phase]}: ${event.total} ${event.unit}`
      return style.interactive
        ? { lines: [], bar: barOf(event.phase, 0, '', style) }
        : { lines: [title] }
    }
    case 'progress': {
      const bar = barOf(event.phase, event.done / Math.max(1, event.total), detailsOf(event), style)
      return { lines: [], bar }
    }
    case 'phase-ended': {
      const line = `${titles[event.phase]} took ${event.seconds.toFixed(1)} s`
      return { lines: [paint(DIM, line)], bar: '' }
    }
    case 'death':
      return { lines: [paint(RED, `✗ ${event.actor}${onDevice(event)} died: ${event.cause}`)] }
    case 'device':
      return {
        lines: [paint(DIM, `  ${event.actor} goes on with ${event.device}: ${whyOf(event)}`)],
      }
    case 'recovered':
      return {
        lines: [paint(GREEN, `✓ ${event.actor} is back after ${Math.round(event.recoveredMs)} ms`)],
      }
    case 'evaluated': {
      const { percent } = event.errorRate
      return {
        lines: [`  ${event.model}: ${percent.toFixed(2)} % word errors on ${event.set} strings`],
      }
    }
    case 'accuracy': {
      const { top1, top5 } = event.accuracy
      const percents = `${top1.toFixed(1)} % top-1, ${top5.toFixed(1)} % top-5`
      return { lines: [`  ${event.model}: ${percents} on ${event.set} images`] }
    }
    case 'transcripts':
      return { lines: [] }
    case 'skipped':
      return { lines: [paint(DIM, `skipped ${event.name}: ${event.reason}`)] }
    case 'steered': {
      const { what, detail } = event
      return { lines: [paint(DIM, detail === undefined ? what : `${what}: ${detail}`)] }
    }
    case 'note':
      return { lines: [paint(DIM, event.message)] }
    case 'finished':
      return { lines: [], bar: '' }
  }
}

function onDevice({ device }: { readonly device?: string }): string {
  return device === undefined ? '' : ` on ${device}`
}

function whyOf({ device, reason }: Extract<RunEvent, { type: 'device' }>): string {
  switch (reason) {
    case 'returned':
      return `${device} is preferred and has rested`
    case 'none-rested':
      return 'every device failed lately, this one the longest ago'
    default:
      return 'its device failed'
  }
}

type Progress = Extract<RunEvent, { type: 'progress' }>

function detailsOf({ examples, examplesPerSecond, loss, remainingSeconds }: Progress): string {
  return [
    examplesPerSecond === undefined ? '' : `${inThousands(examplesPerSecond)} ${examples}/s`,
    loss === undefined ? '' : `loss ${loss.toFixed(3)}`,
    remainingSeconds === undefined ? '' : `${inMinutes(remainingSeconds)} left`,
  ]
    .filter((part) => part !== '')
    .join('  ')
}

function inThousands(number: number): string {
  return number < 10_000 ? `${Math.round(number)}` : `${Math.round(number / 1_000)}k`
}

function inMinutes(seconds: number): string {
  const whole = Math.ceil(seconds)
  return whole < 120 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}

const TITLE_WIDTH = 21
const BAR_WIDTHS = { least: 6, most: 24 } as const
/** Of ' 100 %  ' and of the last column, where a terminal would wrap. */
const REST_WIDTH = 9

/** The bar gives way to the details; a terminal too narrow for both cuts the details. */
function barOf(
  phase: PhaseName,
  part: number,
  details: string,
  { columns, interactive }: ProgressStyle,
): string {
  const room = interactive ? columns - TITLE_WIDTH - REST_WIDTH - details.length : BAR_WIDTHS.most
  const width = Math.min(BAR_WIDTHS.most, Math.max(BAR_WIDTHS.least, room))
  const filled = Math.round(width * Math.min(1, Math.max(0, part)))
  const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
  const percent = `${Math.floor(100 * part)}`.padStart(3)
  const line = `${titles[phase].padEnd(TITLE_WIDTH)}${bar} ${percent} %  ${details}`.trimEnd()
  return interactive ? line.slice(0, columns - 1) : line
}

export interface ProgressWriter {
  show(event: RunEvent): void
  /** Takes the bar away: whatever is written next starts on a line of its own. */
  close(): void
}

/** Elsewhere than on a terminal a bar becomes a line, at most one every tenth of its phase. */
export function progressWriter(
  write: (text: string) => void,
  style: ProgressStyle,
): ProgressWriter {
  let bar = ''
  let shownTenth = -1
  return {
    show(event) {
      const { lines, bar: next } = renderEvent(event, style)
      if (!style.interactive) {
        if (event.type === 'phase') shownTenth = 0
        const tenth =
          event.type === 'progress' ? Math.floor((10 * event.done) / event.total) : shownTenth
        const isDue = event.type === 'progress' && tenth > shownTenth
        shownTenth = tenth
        for (const line of isDue && next ? [...lines, next] : lines) write(`${line}\n`)
        return
      }
      const clear = bar ? CLEAR_LINE : ''
      bar = next ?? bar
      write(`${clear}${lines.map((line) => `${line}\n`).join('')}${bar}`)
    },
    close() {
      if (bar && style.interactive) write(CLEAR_LINE)
      bar = ''
    },
  }
}

/** On standard error: a bar on a terminal, lines elsewhere. */
export function progressWriterFor(quiet: boolean): ProgressWriter {
  if (quiet) return { show: () => {}, close: () => {} }
  const { stderr } = process
  const isTerminal = stderr.isTTY === true
  const style = {
    // Asked anew for every line: a window may change its size.
    get columns() {
      return stderr.columns ?? 80
    },
    colour: isTerminal && !process.env.NO_COLOR,
    interactive: isTerminal,
  }
  return progressWriter((text) => void stderr.write(text), style)
}
