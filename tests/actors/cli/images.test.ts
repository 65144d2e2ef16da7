// The commands around images as processes: a run, its model, and everything that is refused.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { NetworkDescription } from '../../../actors/image/describe.ts'
import type { ImagePrediction } from '../../../actors/image/predict/predictor.ts'
import { makeTinyImages } from '../../tiny-images.ts'

const main = join(import.meta.dir, '../../../actors/main.ts')
const folder = mkdtempSync(join(tmpdir(), 'troupe-image-commands-'))
const inFolder = (name: string) => join(folder, name)

async function outcome(...args: readonly string[]) {
  const child = Bun.spawn([process.execPath, main, ...args], {
    cwd: folder,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    env: { ...process.env, NO_COLOR: '1', TROUPE_DEBUG: '' },
  })
  const [out, error] = await Promise.all([child.stdout.text(), child.stderr.text()])
  return { status: await child.exited, out, error }
}

beforeAll(async () => {
  await makeTinyImages(inFolder('images'), { perClass: 12 })
  for (const name of ['empty', 'one/across', 'broken/a', 'broken/b', 'more/across']) {
    mkdirSync(inFolder(name), { recursive: true })
  }
  mkdirSync(inFolder('more/strange'), { recursive: true })
  cpSync(inFolder('images/across'), inFolder('one/across'), { recursive: true })
  writeFileSync(inFolder('broken/a/x.jpg'), 'no image')
  writeFileSync(inFolder('broken/b/y.png'), '')
  writeFileSync(inFolder('text.onnx'), 'not a model')
  writeFileSync(inFolder('text.safetensors'), 'not weights')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('train, predict, export, import: the imported model predicts what the run’s does', async () => {
  const trained = await outcome(
    ...'train image --data images --epochs 4 --batch 8 --pad 0 --average-decay 0.9 --out run'.split(
      ' ',
    ),
  )
  expect([trained.status, trained.error.includes('Training')]).toEqual([0, true])
  expect(trained.out).toContain('Accuracy on the test set')
  const predict = async (model: string, ...more: string[]) => {
    const image = ['--image', 'images/down/003.png', 'images/checks', 'broken/a/x.jpg']
    const { status, out } = await outcome('predict', '--model', model, ...image, '--json', ...more)
    expect(status).toBe(0)
    return JSON.parse(out) as ImagePrediction[]
  }
  const predicted = await predict('run/model.onnx')
  expect(predicted.length).toBe(14)
  const error = expect.stringContaining('not an image')
  expect(predicted.at(-1)).toMatchObject({ image: 'broken/a/x.jpg', error })
  for (const answer of predicted.slice(0, -1)) {
    const { predictions } = answer as Extract<ImagePrediction, { predictions: unknown }>
    expect(predictions.map(({ label }) => label).sort()).toEqual(['across', 'checks', 'down'])
    const sum = predictions.reduce((total, { probability }) => total + probability, 0)
    expect(sum).toBeCloseTo(1, 4)
  }
  const through = await predict('run/model.onnx', '--subnetworks', '2')
  expect(through.map(labelOf)).toEqual(predicted.map(labelOf))

  const exported = await outcome('export', '--model', 'run/model.onnx', '--out', 'w.safetensors')
  expect(exported).toEqual({ status: 0, out: 'w.safetensors\n', error: '' })
  expect(
    readFileSync(inFolder('w.safetensors')).equals(readFileSync(inFolder('run/model.safetensors'))),
  ).toBe(true)
  writeFileSync(inFolder('labels.txt'), 'across\nchecks\ndown\n')
  const imported = await outcome(
    ...'import w.safetensors --network googlenet-small --labels labels.txt --out i.onnx'.split(' '),
  )
  expect(imported.out).toBe('i.onnx: googlenet-small with 3 classes\n')
  const again = await outcome('export', '--model', 'i.onnx', '--out', 'again.safetensors')
  expect(again.status).toBe(0)
}, 60_000)

const labelOf = (answer: ImagePrediction): string =>
  'predictions' in answer ? (answer.predictions[0]?.label ?? '') : answer.error

test('describe draws a table of at most 80 columns, or says the same as JSON', async () => {
  const table = await outcome('describe', '--network', 'inception-v4')
  expect(table.status).toBe(0)
  expect(table.out.split('\n').every((line) => line.length <= 80)).toBe(true)
  expect(table.out).toContain('42,679,816 parameters')
  const { out } = await outcome(...'describe --network googlenet-bn --classes 10 --json'.split(' '))
  const described = JSON.parse(out) as NetworkDescription
  expect(described).toMatchObject({ size: 224, classes: 10, multiplyAdds: 1_497_362_432 })
  expect(described.cuts.length).toBe(9)
})

describe('what is wrong is said in one line', () => {
  const wrong: readonly (readonly [command: string, status: number, message: string])[] = [
    ['train image', 2, '--data is missing'],
    ['train image --data nowhere', 1, 'nowhere: no such folder'],
    ['train image --data empty', 1, 'empty holds no folders'],
    ['train image --data one', 1, 'one holds one class only, across'],
    ['train image --quiet --data broken', 1, 'broken holds no image that can be read'],
    [
      'train image --data images --test more',
      1,
      'more/strange: training has no class of this name',
    ],
    ['train image --data images --size 16', 2, "--size: '16'"],
    ['train image --data images --network vgg', 2, "--network: 'vgg'"],
    [
      'train image --data images --subnetworks 9',
      2,
      '--subnetworks: 9; googlenet-small is cut into',
    ],
    ['describe', 2, '--network is missing'],
    ['describe --network inception-v3 --size 20', 2, '--size'],
    ['import', 2, 'missing'],
    ['import nothing.safetensors --network googlenet', 1, 'nothing.safetensors'],
    ['import text.safetensors --network googlenet', 1, 'safetensors'],
    ['export --model text.onnx --out x.safetensors', 1, 'not an .onnx file'],
    ['predict --image images/down/003.png', 2, '--model is missing'],
    ['predict --model text.onnx --image images/down/003.png', 1, 'not an .onnx file'],
    ['predict --model nothing.onnx --image images/down/003.png', 1, 'nothing.onnx'],
  ]
  test.each(wrong)('%s', async (command, status, message) => {
    const got = await outcome(...command.split(' '))
    expect(got.error.trim().split('\n')).toHaveLength(1)
    expect(got.error).toContain(message)
    expect(got.status).toBe(status)
    expect(existsSync(inFolder('x.safetensors'))).toBe(false)
  })
})
