// The command line as a process: exit statuses, one line an error, Ctrl-C.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { encodeWav } from '../../../models/sequence/audio.ts'
import packageFile from '../../../package.json' with { type: 'json' }
import { makeTinyDigits } from '../../tiny-digits.ts'

const main = join(import.meta.dir, '../../../actors/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'troupe-main-'))
const digits = join(folder, 'digits')
const small = [
  '--strings',
  '30,10,10',
  '--hidden',
  '8',
  '--snr',
  '10',
  '--out',
  join(folder, 'run'),
]

beforeAll(() => {
  makeTinyDigits(digits)
  mkdirSync(join(folder, 'empty'))
  writeFileSync(join(folder, 'text.onnx'), 'not a model')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function start(args: readonly string[]) {
  return Bun.spawn([process.execPath, main, ...args], {
    cwd: folder,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, NO_COLOR: '1', TROUPE_DEBUG: '' },
  })
}

async function outcome(args: readonly string[]) {
  const child = start(args)
  const [out, error] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { status: await child.exited, out, error }
}

describe('what was asked for goes to standard output, with status 0', () => {
  const asked: [string[], string | RegExp][] = [
    [['--version'], new RegExp(`^${packageFile.version}\n$`)],
    [['--help'], 'on your recordings, images'],
    [[], 'on your recordings, images'],
    [['train', '--help'], '--criterion'],
    [['train', 'speech', '--help'], '--criterion'],
    [['decode', '--help'], '--model'],
    [['demo', '--help'], '--seed'],
    [['devices', '--help'], '--json'],
    [['devices'], /^device +available +details\ncpu +yes +\d+ cores/],
    [['devices', '--json'], /^\[\s+\{\s+"device": "cpu",\s+"isAvailable": true/],
  ]
  test.each(asked)('%j', async (args, text) => {
    const { status, out, error } = await outcome(args)
    expect({ status, error }).toEqual({ status: 0, error: '' })
    expect(out).toMatch(text)
  })
})

describe('a command line that cannot be understood: one line, the way to help, status 2', () => {
  const wrong: string[][] = [
    ['trian'],
    ['train'],
    ['train', 'images'],
    ['train', 'speech'],
    ['train', 'speech', '--data', 'digits', '--worker', '3'],
    ['train', 'speech', '--data', 'digits', '--workers', '0'],
    ['train', 'speech', '--data', 'digits', '--policy', 'never'],
    ['train', 'speech', '--data', 'digits', '--chaos', 'kill:nobody@3%'],
    ['train', 'speech', '--resume', 'empty'],
    ['decode', '--model', 'text.onnx'],
    ['demo', '--seed', '1.5'],
    ['devices', '--jsn'],
    ['devices', 'cpu'],
    ['devices', '--json=yes'],
    ['train', 'speech', '--data', 'digits', '--device', 'gpu'],
    ['train', 'speech', '--data', 'digits', '--device', 'cuda:0', '--workers', '2'],
    ['train', 'speech', '--data', 'digits', '--device-policy', 'next'],
    ['train', 'speech', '--data', 'digits', '--device-policy', 'other'],
  ]
  test.each(wrong.map((args) => [args]))('%j', async (args) => {
    const { status, out, error } = await outcome(args)
    expect({ status, out }).toEqual({ status: 2, out: '' })
    expect(error).toMatch(/^troupe: .*--help.*\n$/)
  })
})

describe('what the world refuses: one line that names it, status 1', () => {
  const foreign = process.platform === 'win32' ? 'coreml' : 'dml:0'
  const refused: [name: string, args: string[]][] = [
    [foreign, ['train', 'speech', '--data', digits, '--device', `${foreign},cpu`, ...small]],
    ['nowhere', ['train', 'speech', '--data', 'nowhere', '--quiet', ...small]],
    ['empty', ['train', 'speech', '--data', 'empty', '--quiet', ...small]],
    ['no-test', ['train', 'speech', '--data', digits, '--test', 'no-test', '--quiet', ...small]],
    ['nowhere.onnx', ['decode', '--model', 'nowhere.onnx', '--data', digits]],
    ['text.onnx', ['decode', '--model', 'text.onnx', '--data', digits]],
  ]
  test.each(refused)('%s', async (name, args) => {
    const { status, out, error } = await outcome(args)
    expect({ status, out }).toEqual({ status: 1, out: '' })
    expect(error).toMatch(/^troupe: [^\n]*\n$/)
    expect(error).toContain(name)
  })

  test('a port in use', async () => {
    await using server = Bun.serve({ port: 0, hostname: '127.0.0.1', fetch: () => new Response() })
    const port = String(server.port)
    const args = ['train', 'speech', '--data', digits, '--quiet', '--port', port, ...small]
    const { status, error } = await outcome(args)
    expect({ status, lines: error.split('\n').length }).toEqual({ status: 1, lines: 2 })
    expect(error).toContain(port)
  })
})

test('train, Ctrl-C, resume, decode: a checkpoint with status 130, then a model, its report and a CTM', async () => {
  const out = join(folder, 'whole')
  const report = join(folder, 'reports', 'whole.json')
  const epochs = ['--cross-entropy-epochs', '40', '--epochs', '1']
  const args = ['--data', digits, ...small.slice(0, 6), ...epochs, '--out', out]
  const child = start(['train', 'speech', ...args])
  let seen = ''
  let isInterrupted = false
  for await (const chunk of child.stderr.pipeThrough(new TextDecoderStream())) {
    seen += chunk
    // A second one would end it at once, without a checkpoint.
    if (isInterrupted || !/^Cross-entropy .*\d %/m.test(seen)) continue
    isInterrupted = true
    child.kill('SIGINT')
  }
  expect(seen).toEndWith(`troupe: stopped; go on with --resume ${out}\n`)
  expect(await child.exited).toBe(130)

  const resumed = await outcome(['train', 'speech', '--resume', out, '--report', report, '--quiet'])
  expect({ status: resumed.status, error: resumed.error }).toEqual({ status: 0, error: '' })
  expect(resumed.out).toContain(`model        ${out}/model.onnx`)
  expect(JSON.parse(readFileSync(report, 'utf8'))).toMatchObject({ task: 'speech', seed: 1 })

  const model = `${out}/model.onnx`
  const ctm = join(folder, 'words.ctm')
  const decoded = await outcome(['decode', '--model', model, '--data', digits, '--ctm', ctm])
  expect(decoded.status).toBe(0)
  expect(decoded.out.trim().split('\n')).toHaveLength(60)
  expect(decoded.error).toMatch(/^300 recordings joined into 60 strings in noise \(\d+ dB\)\n/)
  expect(decoded.error).toMatch(/^[\d.]+ % word errors/m)
  expect(readFileSync(ctm, 'utf8')).toMatch(/^string-00 1 \d+\.\d\d \d+\.\d\d \w+$/m)

  const alone = ['decode', '--model', model, '--data', digits, '--strings', '0']
  const single = await outcome(alone)
  expect(single.out.trim().split('\n')).toHaveLength(300)

  const unknown = join(folder, 'unknown')
  mkdirSync(unknown)
  writeFileSync(join(unknown, 'hello.wav'), encodeWav(new Float32Array(16_000).fill(9), 16_000))
  const transcribed = await outcome(['decode', '--model', model, '--data', unknown])
  expect(transcribed.out).toMatch(/^hello( \w+)*\n$/)
  expect(transcribed.error).toBe('1 recording of 16000 Hz: resampled to 8000 Hz\n')
  writeFileSync(join(unknown, 'hello.wav'), 'no sound')
  const refused = await outcome(['decode', '--model', model, '--data', unknown])
  expect(refused.status).toBe(1)
  expect(refused.error).toMatch(
    /^troupe: .*unknown: nothing to decode \(1 skipped, first hello: .*\n$/,
  )
}, 60_000)
