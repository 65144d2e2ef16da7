import { describe, expect, test } from 'bun:test'
import { type ProgressStyle, progressWriter, renderEvent } from '../../../actors/cli/progress.ts'
import type { RunEvent } from '../../../actors/events.ts'

const terminal: ProgressStyle = { columns: 80, colour: false, interactive: true }
const plain: ProgressStyle = { columns: 80, colour: false, interactive: false }

const progress = (done: number): RunEvent => ({
  type: 'progress',
  phase: 'sequence',
  done,
  total: 200,
  examples: 'frames',
  examplesPerSecond: 51_234,
  loss: 0.1234,
  remainingSeconds: 11.2,
})
const death: RunEvent = { type: 'death', actor: 'trainer-1', cause: 'killed by SIGKILL' }
const recovered: RunEvent = { type: 'recovered', actor: 'trainer-1', recoveredMs: 412.4 }

describe('renderEvent', () => {
  test('shows part, throughput, loss and remaining time in 80 columns', () => {
    expect(renderEvent(progress(50), terminal)).toEqual({
      lines: [],
      bar: 'Sequence training    ████░░░░░░░░░░░  25 %  51k frames/s  loss 0.123  12 s left',
    })
  })

  test.each([20, 40, 60, 80, 100, 200])('never fills the last of %d columns', (columns) => {
    const long: RunEvent = {
      ...progress(200),
      examplesPerSecond: 12e9,
      remainingSeconds: 1e6,
    } as RunEvent
    expect(renderEvent(long, { ...terminal, columns }).bar?.length).toBeLessThan(columns)
  })

  test('the bar grows from empty to full, also where there is nothing to do', () => {
    const filled = (event: RunEvent): number =>
      renderEvent(event, terminal).bar?.match(/█/g)?.length ?? 0
    const bars = [0, 50, 100, 150, 200].map((done) => filled(progress(done)))
    expect(bars).toEqual([...bars].sort((a, b) => a - b))
    expect([bars[0], renderEvent(progress(200), terminal).bar?.includes('░')]).toEqual([0, false])
    const nothing: RunEvent = { type: 'progress', phase: 'align', done: 0, total: 0 }
    expect(renderEvent(nothing, terminal).bar).toEndWith('░   0 %')
  })

  test('says what was done to the run', () => {
    const paused: RunEvent = { type: 'steered', what: 'paused' }
    const adjusted: RunEvent = { type: 'steered', what: 'adjusted', detail: 'policy ssp:4' }
    expect(renderEvent(paused, terminal).lines).toEqual(['paused'])
    expect(renderEvent(adjusted, plain).lines).toEqual(['adjusted: policy ssp:4'])
  })

  test('says deaths and recoveries with a cross and a tick, coloured only on request', () => {
    expect(renderEvent(death, terminal).lines).toEqual(['✗ trainer-1 died: killed by SIGKILL'])
    expect(renderEvent(recovered, terminal).lines).toEqual(['✓ trainer-1 is back after 412 ms'])
    const onDevice = { ...death, device: 'cuda:0', isDeviceFault: true } as const
    expect(renderEvent(onDevice, terminal).lines).toEqual([
      '✗ trainer-1 on cuda:0 died: killed by SIGKILL',
    ])
    const moved = { type: 'device', actor: 'trainer-1', device: 'cpu', reason: 'moved' } as const
    expect(renderEvent(moved, terminal).lines).toEqual([
      '  trainer-1 goes on with cpu: its device failed',
    ])
    const colour = { ...terminal, colour: true }
    expect(renderEvent(death, colour).lines).toEqual([
      '\u001b[31m✗ trainer-1 died: killed by SIGKILL\u001b[0m',
    ])
    expect(renderEvent(recovered, colour).lines).toEqual([
      '\u001b[32m✓ trainer-1 is back after 412 ms\u001b[0m',
    ])
  })
})

describe('progressWriter', () => {
  function written(style: ProgressStyle) {
    let text = ''
    const writer = progressWriter((part) => {
      text += part
    }, style)
    return { writer, text: () => text }
  }

  test('on a terminal deaths stand above the bar, which stays', () => {
    const { writer, text } = written(terminal)
    writer.show(progress(50))
    writer.show(death)
    const bar = renderEvent(progress(50), terminal).bar ?? ''
    expect(text()).toBe(`${bar}\r\u001b[2K✗ trainer-1 died: killed by SIGKILL\n${bar}`)
  })

  test('close leaves a clean line for the error that follows', () => {
    const { writer, text } = written(terminal)
    writer.show(progress(50))
    writer.close()
    writer.close()
    expect(text()).toEndWith(' left\r\u001b[2K')
  })

  test('elsewhere each tenth of a phase is one whole line, without escapes', () => {
    const { writer, text } = written(plain)
    writer.show({ type: 'phase', phase: 'sequence', total: 200, unit: 'updates' })
    for (let done = 1; done <= 200; done++) writer.show(progress(done))
    writer.show(death)
    const lines = text().trimEnd().split('\n')
    expect(lines[0]).toBe('Sequence training: 200 updates')
    expect(lines).toHaveLength(1 + 10 + 1)
    for (const line of lines.slice(1, 11)) expect(line).toEndWith('loss 0.123  12 s left')
    expect(text()).not.toContain('\u001b')
    expect(text()).not.toContain('\r')
  })

  test('a second phase starts its tenths anew', () => {
    const { writer, text } = written(plain)
    for (const phase of ['control', 'sequence'] as const) {
      writer.show({ type: 'phase', phase, total: 200, unit: 'updates' })
      writer.show({ type: 'progress', phase, done: 100, total: 200 })
    }
    expect(text().match(/50 %/g)).toHaveLength(2)
  })
})
