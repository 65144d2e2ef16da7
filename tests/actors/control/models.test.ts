// Predictions over HTTP: answers, batches, and a problem document for everything that is wrong.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { controlApp } from '../../../actors/control/app.ts'
import { askFile } from '../../../actors/control/model-book.ts'
import { createPlane } from '../../../actors/control/plane.ts'
import { MODEL_CARD } from '../../../actors/model-card.ts'
import { imageNetwork, servingGraph } from '../../../models/networks/networks.ts'
import { encodeOnnx } from '../../../models/onnx-file.ts'
import { initialise, layoutOf } from '../../../models/parameters.ts'
import { randomFor } from '../../../protocol/random.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { makeTinyImages } from '../../tiny-images.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-http-'))
const environment = realEnvironment({ seed: 0 })
const { disk } = environment
const model = join(folder, 'model.onnx')
const picture = (name: string) => readFileSync(join(folder, 'images', name))

beforeAll(async () => {
  await makeTinyImages(join(folder, 'images'), { perClass: 3 })
  const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 3 })
  const layout = layoutOf(network.parameters)
  const values = initialise(layout, randomFor('http'))
  const classes = ['across', 'checks', 'down']
  const figures = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] }
  const card = { task: 'image', network: 'googlenet-small', size: 32, classes, ...figures }
  const graph = servingGraph(network, { layout, values }, { [MODEL_CARD]: JSON.stringify(card) })
  writeFileSync(model, encodeOnnx(graph))
  writeFileSync(join(folder, 'text.onnx'), 'no model')
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const entry = (name: string, path: string) => ({
  name,
  task: 'image',
  files: { onnx: path },
  predict: askFile(disk, { task: 'image', path }, { waitingMax: 4 }),
})
const plane = createPlane({
  environment,
  models: [
    entry('stripes', model),
    entry('gone', join(folder, 'gone.onnx')),
    entry('text', join(folder, 'text.onnx')),
  ],
})
const app = controlApp(plane, {
  version: '0',
  token: 'secret',
  isLoopback: true,
  bodyBytesMax: 100_000,
})

interface Answer {
  readonly predictions: readonly {
    readonly name: string
    readonly predictions?: readonly { readonly label: string; readonly probability: number }[]
    readonly error?: string
  }[]
}

const post = (
  path: string,
  body: string | Uint8Array<ArrayBuffer> | FormData,
): Response | Promise<Response> => app.request(path, { method: 'POST', body })

test('the bytes of an image are answered with labels and probabilities, the likeliest first', async () => {
  const response = await post('/models/stripes/predict', picture('down/000.png'))
  expect(response.status).toBe(200)
  const { predictions } = (await response.json()) as Answer
  const made = predictions[0]?.predictions ?? []
  expect(made.map(({ label }) => label).sort()).toEqual(['across', 'checks', 'down'])
  const chances = made.map(({ probability }) => probability)
  expect(chances).toEqual([...chances].sort((a, b) => b - a))
  expect(chances.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 4)
})

test('a form of several files is one batch; what is no image is said in its place', async () => {
  const form = new FormData()
  form.append('files', new File([picture('down/000.png')], 'a.png'))
  form.append('files', new File(['no image'], 'b.png'))
  form.append('other', new File([picture('checks/001.jpg')], 'c.jpg'))
  const response = await post('/models/stripes/predict?top=1', form)
  const { predictions } = (await response.json()) as Answer
  expect(predictions.map(({ name }) => name)).toEqual(['a.png', 'b.png', 'c.jpg'])
  expect(predictions.map((answer) => answer.predictions?.length)).toEqual([1, undefined, 1])
  expect(predictions[1]?.error).toContain('not an image')
})

test('requests that come together are answered as if they came alone, and too many are told so', async () => {
  const alone = await (await post('/models/stripes/predict', picture('down/000.png'))).json()
  const together = await Promise.all(
    Array.from({ length: 12 }, () => post('/models/stripes/predict', picture('down/000.png'))),
  )
  const busy = together.filter(({ status }) => status === 503)
  const answered = together.filter(({ status }) => status === 200)
  expect(answered.length + busy.length).toBe(12)
  expect(answered.length).toBeGreaterThan(3)
  const first = (answer: unknown) => (answer as Answer).predictions[0]?.predictions?.[0]
  for (const response of answered) {
    const made = first(await response.json())
    expect(made?.label).toBe(first(alone)!.label)
    expect(made?.probability).toBeCloseTo(first(alone)!.probability, 4)
  }
})

test('the models are listed, with the files that are there', async () => {
  const { models } = (await (await app.request('/models')).json()) as {
    models: { name: string; files: { kind: string; url: string; bytes: number }[] }[]
  }
  expect(models.map(({ name }) => name)).toEqual(['stripes', 'gone', 'text'])
  const [file] = models[0]!.files
  expect(file).toMatchObject({ kind: 'onnx', url: '/models/stripes.onnx' })
  const bytes = new Uint8Array(await (await app.request(file!.url)).arrayBuffer())
  expect(bytes).toEqual(new Uint8Array(readFileSync(model)))
  expect(file!.bytes).toBe(bytes.length)
  expect(models[1]!.files).toEqual([])
})

describe('a problem document for', () => {
  const wrong: readonly (readonly [string, () => Response | Promise<Response>, number, string])[] =
    [
      ['an unknown model', () => post('/models/none/predict', 'x'), 404, 'unknown-model'],
      [
        'a name every object has',
        () => post('/models/constructor/predict', 'x'),
        404,
        'unknown-model',
      ],
      ['no image', () => post('/models/stripes/predict', 'text'), 422, 'no-input'],
      ['nothing', () => post('/models/stripes/predict', ''), 422, 'no-input'],
      [
        'too much',
        () => post('/models/stripes/predict', new Uint8Array(100_001)),
        413,
        'too-large',
      ],
      ['another method', () => app.request('/models/stripes/predict'), 405, 'wrong-method'],
      ['a wrong query', () => post('/models/stripes/predict?top=x', 'x'), 422, 'invalid'],
      ['another path', () => app.request('/nothing'), 404, 'not-found'],
      ['a model that is no model', () => post('/models/text/predict', 'x'), 500, 'unusable-model'],
      ['a model that is gone', () => post('/models/gone/predict', 'x'), 500, 'disk'],
      ['a file that is gone', () => app.request('/models/gone.onnx'), 404, 'no-file'],
    ]
  test.each(wrong)('%s', async (_what, ask, status, name) => {
    const response = await ask()
    expect(response.status).toBe(status)
    expect(response.headers.get('content-type')).toContain('application/problem+json')
    const body = (await response.json()) as { type: string; status: number; detail?: string }
    expect([body.type, body.status]).toEqual([`/problems/${name}`, status])
    expect(`${body.detail}`).not.toContain('\n')
  })
})

test('troupe serve answers on a port of loopback that it prints, until it is told to stop', async () => {
  const main = join(import.meta.dir, '../../../actors/main.ts')
  const child = Bun.spawn([process.execPath, main, 'serve', '--model', model], {
    stdout: 'pipe',
    stderr: 'pipe',
  })
  const reader = child.stdout.getReader()
  const { value } = await reader.read()
  const address = new TextDecoder().decode(value).trim()
  expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/models\/image\/predict$/)
  const response = await fetch(address, { method: 'POST', body: picture('across/002.webp') })
  expect(response.status).toBe(200)
  child.kill('SIGINT')
  expect(await child.exited).toBe(0)
}, 20_000)
