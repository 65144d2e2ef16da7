import { expect, test } from 'bun:test'
import { describeFailure } from '../../../actors/cli/failure.ts'
import { UsageError } from '../../../actors/cli/options.ts'
import { launch, OptionError, RunStoppedError, speech } from '../../../actors/index.ts'
import { DiskError } from '../../../runtime/environment.ts'

test('a wrong option is status 2, with the name it has on the command line and the way to help', () => {
  expect(describeFailure(new OptionError('batchFrames: 0 is out of range; give 1 to 9'))).toEqual({
    line: 'troupe: --batch-frames: 0 is out of range; give 1 to 9 (--help explains)',
    status: 2,
  })
  expect(describeFailure(new UsageError('no option --x; --help lists the options'))).toEqual({
    line: 'troupe: no option --x; --help lists the options',
    status: 2,
  })
})

test('a staleness policy or a fault that cannot be read is a wrong option too', async () => {
  for (const wrong of [{ policy: 'ssp:x' }, { chaos: 'kill:nobody@3%' }]) {
    const [name = ''] = Object.keys(wrong)
    const failed = await launch({ task: speech({ data: 'x', ...wrong }) }).catch((error) => error)
    const { line, status } = describeFailure(failed)
    expect(line).toStartWith(`troupe: --${name}: '${Object.values(wrong)[0]}'`)
    expect(line).toEndWith('(--help explains)')
    expect(status).toBe(2)
  }
})

test('what the world refuses is status 1, a stop 130, each one line without a stack', () => {
  expect(describeFailure(new DiskError('runs/x/journal', 'ENOSPC'))).toEqual({
    line: expect.stringMatching(/^troupe: runs\/x\/journal: .*(full|space)/),
    status: 1,
  })
  expect(describeFailure(new Error('DiskError: x: broken\n    at y')).line).toBe(
    'troupe: x: broken',
  )
  expect(describeFailure(new RunStoppedError('stopped; go on with --resume x'))).toEqual({
    line: 'troupe: stopped; go on with --resume x',
    status: 130,
  })
  expect(describeFailure('text')).toEqual({ line: 'troupe: text', status: 1 })
})
