// The table at the end of a run: at most 80 columns, plain text.
import type { Comparison, Report, ReportedErrorRate } from '../report.ts'

export function reportTable(report: Report): string {
  const { errorRate, updates, staleness, restarts } = report
  const rates: [string, ReportedErrorRate | undefined][] = [
    ['cross-entropy', errorRate.crossEntropy],
    ['control: more cross-entropy', errorRate.control],
    [
      `sequence training (${report.criterion})`,
      report.criterion === 'ce' ? undefined : errorRate.final,
    ],
  ]
  const lines = [
    '',
    'Word errors on the test set     percent   95 % interval    ins    del    sub',
    ...rates.flatMap(([name, rate]) => (rate ? [rateLine(name, rate)] : [])),
    `                                of ${errorRate.final.words} words`,
    '',
    verdict(report),
    '',
    `updates      ${updates.acknowledged} acknowledged, ${updates.applied} applied, ${updates.duplicates} duplicates, ${updates.refused} refused`,
    `staleness    median ${staleness.p50}, p99 ${staleness.p99}, maximum ${staleness.max}   ${histogram(staleness.histogram)}`,
    ...(restarts.length === 0
      ? ['restarts     none']
      : restarts.map(
          ({ actor, cause, recoveredMs }, index) =>
            `${index === 0 ? 'restarts' : ''}`.padEnd(13) +
            `${actor}: ${cause}, back after ${Math.round(recoveredMs)} ms`,
        )),
    `throughput   ${Math.round(report.throughput.framesPerSecond)} frames/s, ${Math.round(100 * report.computeShare)} % of trainer time in ONNX Runtime`,
    ...skippedLines(report),
    `model        ${report.model} (${report.parameters} parameters)`,
    `took         ${report.seconds.toFixed(0)} s`,
    '',
  ]
  return lines.join('\n')
}

/** One plain sentence: whether sequence training won, and over what. */
export function verdict({ criterion, comparison, errorRate }: Report): string {
  if (criterion === 'ce') return 'Cross-entropy only: no sequence training was asked for.'
  const useControl =
    comparison.control !== undefined &&
    (errorRate.control?.percent ?? Number.POSITIVE_INFINITY) < errorRate.crossEntropy.percent
  const against: Comparison =
    (useControl ? comparison.control : undefined) ?? comparison.crossEntropy
  const name = useControl ? 'the control' : 'cross-entropy'
  const size = `${Math.abs(against.relativePercent).toFixed(1)} % relative`
  const interval = `(95 % interval ${against.low.toFixed(1)} to ${against.high.toFixed(1)} %)`
  if (against.high < 0)
    return `Sequence training WON: ${size} fewer errors than ${name}\n${interval}.`
  if (against.low > 0)
    return `Sequence training LOST: ${size} more errors than ${name}\n${interval}.`
  const direction = against.relativePercent < 0 ? 'fewer' : 'more'
  return `No clear winner: ${size} ${direction} errors than ${name}\n${interval}.`
}

function rateLine(name: string, rate: ReportedErrorRate): string {
  const interval = `${rate.low.toFixed(2)} - ${rate.high.toFixed(2)}`
  const counts = [rate.insertions, rate.deletions, rate.substitutions].map((n) =>
    `${n}`.padStart(7),
  )
  return `  ${name.padEnd(30)}${rate.percent.toFixed(2).padStart(7)}   ${interval.padStart(13)}${counts.join('')}`
}

/** Bars of the counts, one a staleness from 0. */
export function histogram(counts: readonly number[]): string {
  const shown = counts.slice(0, 16)
  const largest = Math.max(1, ...shown)
  const bars = '▁▂▃▄▅▆▇█'
  return shown
    .map((count) =>
      count === 0 ? ' ' : (bars[Math.min(7, Math.floor((8 * count) / largest))] ?? ' '),
    )
    .join('')
}

function skippedLines({ skipped, rejectedFrames, nonFinite }: Report): string[] {
  const parts = [
    skipped.length > 0 ? `${skipped.length} utterances or files` : '',
    rejectedFrames > 0 ? `${rejectedFrames} frames without their reference in the lattice` : '',
    nonFinite > 0 ? `${nonFinite} utterances with a criterion that was not finite` : '',
  ].filter((part) => part !== '')
  return parts.map((part, index) => `${(index === 0 ? 'left out' : '').padEnd(13)}${part}`)
}
