import { describe, expect, test } from 'bun:test'
import { decodeOptions, demoOptions, trainSpeechOptions } from '../../../actors/cli/commands.ts'
import { wrap } from '../../../actors/cli/lines.ts'
import { helpOf, type OptionTable, readOptions, UsageError } from '../../../actors/cli/options.ts'
import { completeOptions, defaults } from '../../../actors/speech/options.ts'

const table: OptionTable = {
  data: { kind: 'text', value: 'DIR', isRequired: true, help: 'recordings' },
  workers: { kind: 'integer', value: 'N', range: [1, 64], byDefault: '2', help: 'processes' },
  snr: { kind: 'number', value: 'DB', range: [-40, 100], help: 'noise' },
  strings: { kind: 'integers', value: 'N,N', range: [1, 9], count: 2, help: 'counts' },
  hidden: { kind: 'integers', value: 'N,N', range: [0, 9], help: 'layers' },
  codec: { kind: 'text', value: 'NAME', choices: ['float32', 'int8'], help: 'how' },
  quiet: { kind: 'flag', help: 'no progress' },
}

const read = (...args: string[]) => readOptions(table, ['--data', 'x', ...args])

describe('readOptions', () => {
  test('reads every kind, and the last of two', () => {
    const args = ['--workers', '2', '--workers=3', '--snr', '-5', '--codec', 'int8', '--quiet']
    expect(read(...args, '--strings', '4, 5', '--hidden=6')).toEqual({
      data: 'x',
      workers: 3,
      snr: -5,
      codec: 'int8',
      quiet: true,
      strings: [4, 5],
      hidden: [6],
    })
    expect(read('--snr=-5.5', '--data=a=b')).toEqual({ data: 'a=b', snr: -5.5 })
  })

  test('leaves out what was not given, so that defaults live in one place', () => {
    expect(read()).toEqual({ data: 'x' })
  })

  test('takes both ends of a range', () => {
    expect(read('--workers', '1', '--snr', '-40')).toMatchObject({ workers: 1, snr: -40 })
    expect(read('--workers', '64', '--snr', '100')).toMatchObject({ workers: 64, snr: 100 })
  })

  const whole = 'a whole number from 1 to 64 (--help explains)'
  const refusals: [string[], string][] = [
    [['--bogus', '3'], 'no option --bogus; --help lists the options'],
    [['--constructor'], 'no option --constructor; --help lists the options'],
    [['-q'], 'no option -q; --help lists the options'],
    [['extra'], "'extra' is no option; --help lists the options"],
    [['--workers', '0'], `--workers: '0'; give ${whole}`],
    [['--workers', '65'], `--workers: '65'; give ${whole}`],
    [['--workers', '1.5'], `--workers: '1.5'; give ${whole}`],
    [['--workers', '1,2'], `--workers: '1,2'; give ${whole}`],
    [['--workers', 'NaN'], `--workers: 'NaN'; give ${whole}`],
    [['--workers', ''], `--workers has no value; give ${whole}`],
    [['--workers'], `--workers has no value; give ${whole}`],
    [['--workers', '--quiet'], `--workers has no value; give ${whole}`],
    [['--snr', ' '], "--snr: ' '; give a number from -40 to 100 (--help explains)"],
    [['--snr', 'Infinity'], "--snr: 'Infinity'; give a number from -40 to 100 (--help explains)"],
    [
      ['--strings', '1,2,3'],
      "--strings: '1,2,3'; give 2 whole numbers from 1 to 9, with commas (--help explains)",
    ],
    [
      ['--hidden', '1,,2'],
      "--hidden: '1,,2'; give one or more whole numbers from 0 to 9, with commas (--help explains)",
    ],
    [['--codec', 'int4'], "--codec: 'int4'; give float32 or int8 (--help explains)"],
    [['--quiet=yes'], "--quiet takes no value, but was given 'yes'; --help explains"],
  ]
  test.each(refusals)('refuses %j in one line that says what to do', (args, message) => {
    expect(() => read(...args)).toThrow(new UsageError(message))
  })

  test('asks for what is required', () => {
    expect(() => readOptions(table, ['--quiet'])).toThrow(
      new UsageError('--data is missing: give --data DIR; --help explains'),
    )
  })
})

describe('helpOf', () => {
  test('derives from the same table', () => {
    const shown: OptionTable = {
      data: { kind: 'text', value: 'DIR', isRequired: true, help: 'recordings' },
      workers: { kind: 'integer', value: 'N', range: [1, 64], byDefault: '2', help: 'processes' },
      'a-rather-long-name': {
        kind: 'text',
        value: 'NAME',
        choices: ['float32', 'float16', 'int8'],
        byDefault: 'float32',
        help: 'how gradients travel; the lossy ones feed their error back',
      },
      quiet: { kind: 'flag', help: 'no progress' },
    }
    expect(helpOf('troupe try', shown)).toBe(`troupe try

  --data DIR                recordings (required)
  --workers N               processes (1 to 64; default 2)
  --a-rather-long-name NAME how gradients travel; the lossy ones feed their
                            error back (float32, float16 or int8; default
                            float32)
  --quiet                   no progress
`)
  })

  const tables = { trainSpeechOptions, decodeOptions, demoOptions }
  test.each(Object.entries(tables))('%s: names every option in 80 columns', (_, options) => {
    const help = helpOf('', options)
    for (const name of Object.keys(options)) expect(help).toContain(`  --${name} `.trimEnd())
    for (const line of help.split('\n')) expect(line.length).toBeLessThanOrEqual(80)
  })
})

describe('the options of train speech', () => {
  const rows = Object.entries(trainSpeechOptions)
  const camel = (name: string): string =>
    name.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())

  test('have a default for everything that scripts have a default for, and the same one', () => {
    for (const [name, value] of Object.entries(defaults)) {
      const row = rows.find(([option]) => camel(option) === name)?.[1]
      expect([name, row === undefined]).toEqual([name, false])
      if (typeof value !== 'boolean') expect([name, row?.byDefault]).toEqual([name, shown(value)])
    }
  })
  function shown(value: unknown) {
    return expect.stringMatching(new RegExp(`^${String(value)}(:|$)`))
  }

  const bounded = rows.filter(([, { kind, range }]) => kind === 'integer' && range !== undefined)
  test.each(bounded)('--%s has the bounds that scripts have', (name, { range }) => {
    const [low, high] = range ?? [0, 0]
    const complete = (value: number): unknown =>
      completeOptions({ data: 'x', ...{ [camel(name)]: value } })
    expect(() => complete(low)).not.toThrow()
    expect(() => complete(high)).not.toThrow()
    expect(() => complete(low - 1)).toThrow('out of range')
    expect(() => complete(high + 1)).toThrow('out of range')
  })
})

test('wrap fills lines to their last column and leaves long words whole', () => {
  expect(wrap('aa bb cc', 5)).toEqual(['aa bb', 'cc'])
  expect(wrap('aa bbbbbbbb cc', 5)).toEqual(['aa', 'bbbbbbbb', 'cc'])
  expect(wrap('', 5)).toEqual([''])
})
