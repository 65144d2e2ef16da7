// The table at the end of a run: at most 80 columns, plain text.
import type {
  Comparison,
  ImageReport,
  ModelReport,
  Report,
  ReportedErrorRate,
  SpeechReport,
} from '../report.ts'
import { wrap } from './lines.ts'

export function reportTable(report: Report): string {
  const { updates, staleness } = report
  const counts =
    `${updates.acknowledged} acknowledged, ${updates.applied} applied, ` +
    `${updates.duplicates} duplicates, ${updates.refused} refused`
  const lines = [
    '',
    ...headLines(report),
    '',
    ...row('updates', [counts, `(each step counts once on each of ${report.shards} shards)`]),
    ...row('staleness', [
      `median ${staleness.p50}, p99 ${staleness.p99}, maximum ${staleness.max}`,
      ...histogramLines(staleness.histogram),
    ]),
    ...row('restarts', restartLines(report)),
    ...row('throughput', [
      `${throughputOf(report)}, ` +
        `${Math.round(100 * report.computeShare)} % of trainer time in ONNX Runtime`,
    ]),
    ...row('left out', leftOut(report)),
    ...row('model', [`${report.model} (${report.parameters} parameters)`]),
    ...row('took', [`${report.seconds.toFixed(0)} s`]),
    '',
  ]
  return lines.join('\n')
}

function headLines(report: Report): string[] {
  switch (report.task) {
    case 'speech':
      return speechLines(report)
    case 'image':
      return imageLines(report)
    case 'model':
      return modelLines(report)
  }
}

function modelLines({ tuned, rows, loss, accuracy, trained }: ModelReport): string[] {
  const change = (name: string, before: number, after: number, digits: number) =>
    `  ${name.padEnd(33)} ${before.toFixed(digits).padStart(9)} ${after.toFixed(digits).padStart(9)}`
  return [
    'On the rows held out                    before     after',
    change(loss.name, loss.before, loss.after, 4),
    ...(accuracy ? [change('top-1 %', accuracy.before.top1, accuracy.after.top1, 1)] : []),
    `  ${tuned}: ${trained.length} tensors, ${rows.train} rows, ${rows.test} held out`,
  ]
}

function speechLines(report: SpeechReport): string[] {
  const { errorRate } = report
  const rates: [string, ReportedErrorRate | undefined][] = [
    ['cross-entropy', errorRate.crossEntropy],
    ['control: more cross-entropy', errorRate.control],
    [
      `sequence training (${report.criterion})`,
      report.kept === 'sequence' ? errorRate.final : undefined,
    ],
  ]
  return [
    'Word errors on the test set     percent   95 % interval    ins    del    sub',
    ...rates.flatMap(([name, rate]) => (rate ? [rateLine(name, rate)] : [])),
    `                                of ${errorRate.final.words} words`,
    '',
    ...wrap(verdict(report), COLUMNS),
  ]
}

function imageLines({ network, size, classes, images, accuracy }: ImageReport): string[] {
  const interval = `${accuracy.low.toFixed(1)} - ${accuracy.high.toFixed(1)}`
  const name = `${network}, ${size} x ${size}, ${classes.length} classes`
  return [
    'Accuracy on the test set            top-1 %   95 % interval   top-5 %',
    `  ${name.padEnd(33)} ${accuracy.top1.toFixed(1).padStart(7)}   ${interval.padStart(13)} ${accuracy.top5.toFixed(1).padStart(9)}`,
    `                                    of ${images.test} images; trained on ${images.train}`,
  ]
}

function throughputOf(report: Report): string {
  switch (report.task) {
    case 'speech':
      return `${Math.round(report.throughput.framesPerSecond)} frames/s`
    case 'image':
      return `${Math.round(report.throughput.imagesPerSecond)} images/s`
    case 'model':
      return `${Math.round(report.throughput.rowsPerSecond)} rows/s`
  }
}

const COLUMNS = 80
const INDENT = 13

/** A name in front of the first of its lines; none where there is nothing to say. */
function row(name: string, texts: readonly string[]): string[] {
  return texts
    .flatMap((text) => wrap(text, COLUMNS - INDENT))
    .map((line, index) => `${(index === 0 ? name : '').padEnd(INDENT)}${line}`)
}

/** One plain sentence: whether sequence training won, and over what. */
export function verdict({ criterion, comparison, errorRate, kept }: SpeechReport): string {
  if (criterion === 'ce') return 'Cross-entropy only: no sequence training was asked for.'
  if (kept === 'crossEntropy') {
    return 'Sequence training did not help on development strings: the cross-entropy model is kept.'
  }
  // Against the better of the two, so that a gain is not just more training.
  const useControl =
    comparison.control !== undefined &&
    (errorRate.control?.percent ?? Number.POSITIVE_INFINITY) < errorRate.crossEntropy.percent
  const against = (useControl ? comparison.control : undefined) ?? comparison.crossEntropy
  const name = useControl ? 'the control' : 'cross-entropy'
  const { relativePercent, low, high } = against
  const difference =
    relativePercent === 0
      ? `as many errors as ${name}`
      : `${Math.abs(relativePercent).toFixed(1)} % relative ${relativePercent < 0 ? 'fewer' : 'more'} errors than ${name}`
  const interval = `(95 % interval ${low.toFixed(1)} to ${high.toFixed(1)} %).`
  return `${outcome(against)}: ${difference} ${interval}`
}

function outcome({ low, high }: Comparison): string {
  if (high < 0) return 'Sequence training WON'
  return low > 0 ? 'Sequence training LOST' : 'No clear winner'
}

function rateLine(name: string, rate: ReportedErrorRate): string {
  const interval = `${rate.low.toFixed(2)} - ${rate.high.toFixed(2)}`
  const counts = [rate.insertions, rate.deletions, rate.substitutions].map((n) =>
    `${n}`.padStart(7),
  )
  return `  ${name.padEnd(30)}${rate.percent.toFixed(2).padStart(7)}   ${interval.padStart(13)}${counts.join('')}`
}

const BARS = '▁▂▃▄▅▆▇█'
const BARS_MAX = 40

/** A bar a count, the largest full, none for zero; many counts share bars, equally many each. */
export function histogram(counts: readonly number[]): string {
  const perBar = Math.max(1, Math.ceil(counts.length / BARS_MAX))
  const sums = Array.from({ length: Math.ceil(counts.length / perBar) }, (_, bar) =>
    counts.slice(bar * perBar, (bar + 1) * perBar).reduce((sum, count) => sum + count, 0),
  )
  const largest = Math.max(1, ...sums)
  return sums
    .map((sum) => (sum === 0 ? ' ' : BARS[Math.min(7, Math.floor((8 * sum) / largest))]))
    .join('')
}

function histogramLines(counts: readonly number[]): string[] {
  return counts.length < 2 ? [] : [`0 ${histogram(counts)} ${counts.length - 1}`]
}

function restartLines({ restarts }: Report): string[] {
  if (restarts.length === 0) return ['none']
  return restarts.map(
    ({ actor, cause, device, nextDevice, recoveredMs }) =>
      `${actor}${device === undefined ? '' : ` on ${device}`}: ${cause}, ` +
      (recoveredMs === null
        ? 'the run ended before it was needed again'
        : `back after ${Math.round(recoveredMs)} ms`) +
      (nextDevice === undefined || nextDevice === device ? '' : ` on ${nextDevice}`),
  )
}

function leftOut(report: Report): string[] {
  const { skipped, nonFinite } = report
  const rejectedFrames = report.task === 'speech' ? report.rejectedFrames : 0
  const [things, losses] =
    report.task === 'speech'
      ? ['utterances or files', 'utterances with a criterion']
      : ['images', 'minibatches with a loss']
  return [
    skipped.length > 0 ? `${skipped.length} ${things}` : '',
    rejectedFrames > 0 ? `${rejectedFrames} frames without their reference in the lattice` : '',
    nonFinite > 0 ? `${nonFinite} ${losses} that was not finite` : '',
  ].filter((part) => part !== '')
}
