// Progress for people: a bar a phase on a terminal, plain lines elsewhere; deaths and recoveries as they
// happen. `renderEvent` is pure; `progressWriter` only writes.
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
  prepare: 'Features, flat start',
  align: 'Realignment',
  'cross-entropy': 'Cross-entropy',
  control: 'Control',
  sequence: 'Sequence training',
  evaluate: 'Decoding test set',
}

const RED = 31
const GREEN = 32
const DIM = 2

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
      const details = [
        event.framesPerSecond === undefined
          ? ''
          : `${Math.round(event.framesPerSecond / 1000)}k frames/s`,
        event.loss === undefined ? '' : `loss ${event.loss.toFixed(3)}`,
        event.remainingSeconds === undefined ? '' : `${Math.ceil(event.remainingSeconds)} s left`,
      ].filter((part) => part !== '')
      return {
        lines: [],
        bar: barOf(event.phase, event.done / event.total, details.join('  '), style),
      }
    }
    case 'phase-ended': {
      const line = `${titles[event.phase]} took ${event.seconds.toFixed(1)} s`
      return { lines: [paint(DIM, line)], bar: '' }
    }
    case 'death':
      return { lines: [paint(RED, `✗ ${event.actor} died: ${event.cause}`)] }
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
    case 'skipped':
      return { lines: [paint(DIM, `skipped ${event.name}: ${event.reason}`)] }
    case 'note':
      return { lines: [paint(DIM, event.message)] }
    case 'finished':
      return { lines: [], bar: '' }
  }
}

function barOf(
  phase: PhaseName,
  part: number,
  details: string,
  { columns }: ProgressStyle,
): string {
  const width = columns < 100 ? 16 : 24
  const filled = Math.round(width * Math.min(1, Math.max(0, part)))
  const bar = `${'█'.repeat(filled)}${'░'.repeat(width - filled)}`
  const percent = `${Math.floor(100 * part)}`.padStart(3)
  return `${titles[phase].padEnd(22)}${bar} ${percent} %  ${details}`.slice(0, columns - 1)
}

export interface ProgressWriter {
  show(event: RunEvent): void
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
      const clear = bar ? '\r\u001b[2K' : ''
      bar = next ?? bar
      write(`${clear}${lines.map((line) => `${line}\n`).join('')}${bar}`)
    },
  }
}
