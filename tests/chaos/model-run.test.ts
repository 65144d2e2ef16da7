// Fine-tuning of models that somebody else made, with real processes that die; and what is refused.
import { afterAll, expect, test } from 'bun:test'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, type ModelOptions, type ModelReport, model } from '../../actors/index.ts'
import { graphBuilder } from '../../models/builder.ts'
import { type Graph, integer } from '../../models/graph.ts'
import { decodeOnnx, encodeOnnx } from '../../models/onnx-file.ts'
import { encodeSafetensors } from '../../models/safetensors.ts'
import { openSession } from '../../models/session.ts'
import { randomFor } from '../../protocol/random.ts'
import { bytesOf, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'

const folder = mkdtempSync(join(tmpdir(), 'troupe-models-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const random = randomFor('fine-tuning')
const drawn = (shape: readonly number[], scale = 1): Tensor => {
  const count = shape.reduce((product, extent) => product * extent, 1)
  return tensorOf(
    Float32Array.from({ length: count }, () => scale * random.normal()),
    shape,
  )
}

/** features N x 4 -> scores N x classes, through 16 units. */
function perceptron(classes: number): Graph {
  const b = graphBuilder('perceptron')
  const layer = (x: ReturnType<typeof b.input>, name: string, from: number, to: number) =>
    b.node('Gemm', [
      x,
      b.initializer(`${name}.weight`, drawn([from, to], 0.3)),
      b.initializer(`${name}.bias`, drawn([to], 0.1)),
    ])
  const hidden = b.node('Relu', [layer(b.input('features', ['N', 4]), 'hidden', 4, 16)])
  return b.build([b.named(layer(hidden, 'output', 16, classes), 'scores')])
}

/** Three classes around three corners. */
function rows(count: number): Map<string, Tensor> {
  const labels = Array.from({ length: count }, () => random.below(3))
  const features = Float32Array.from({ length: 4 * count }, (_, i) => {
    return random.normal() + (i % 4 === labels[Math.floor(i / 4)]! ? 3 : 0)
  })
  const targets = BigInt64Array.from(labels, BigInt)
  return new Map([
    ['features', tensorOf(features, [count, 4])],
    ['targets', { dtype: 'int64', shape: [count], bytes: bytesOf(targets) }],
  ])
}

const data = `${folder}/rows.safetensors`
writeFileSync(data, encodeSafetensors(rows(400)))
const file = `${folder}/perceptron.onnx`
writeFileSync(file, encodeOnnx(perceptron(3)))

let runs = 0
async function tune(changes: Partial<ModelOptions> = {}): Promise<ModelReport> {
  runs += 1
  const options = {
    model: file,
    data,
    out: `${folder}/run-${runs}`,
    learningRate: 0.01,
    ...changes,
  }
  await using run = await launch({ task: model(options) })
  return await run.done
}

test('a model is fine-tuned while a trainer and a shard are killed: nothing lost, and the file has what was learnt', async () => {
  const report = await tune({ epochs: 8, chaos: 'kill:trainer@30%,kill:shard@60%' })
  const steps = 8 * Math.ceil(360 / 32)
  expect(report.updates).toMatchObject({ acknowledged: 2 * steps, applied: 2 * steps })
  expect(report.restarts.map(({ cause }) => cause)).toEqual(new Array(2).fill('killed by SIGKILL'))
  expect(report.rows).toEqual({ train: 360, test: 40 })
  expect(report.trained).toEqual(['hidden.weight', 'hidden.bias', 'output.weight', 'output.bias'])
  expect(report.loss.after).toBeLessThan(report.loss.before / 2)
  expect(report.accuracy?.after.top1).toBeGreaterThan(80)
  const before = decodeOnnx(readFileSync(file))
  const after = decodeOnnx(readFileSync(report.model))
  expect([...after.initializers.keys()]).toEqual([...before.initializers.keys()])
  const { scores } = await (await openSession(after, { threads: 1 })).run({
    features: tensorOf(Float32Array.of(4, 0, 0, 0), [1, 4]),
  })
  const [first = 0, ...others] = float32View(scores!)
  expect(Math.max(...others)).toBeLessThan(first)
}, 60_000)

test('a head for other classes starts anew, and numbers are fitted by squares', async () => {
  const wide = `${folder}/wide.onnx`
  writeFileSync(wide, encodeOnnx(perceptron(7)))
  const replaced = await tune({ model: wide, replaceHead: true, workers: 1, epochs: 4 })
  // Every class is equally likely at first.
  expect(replaced.loss.before).toBeCloseTo(Math.log(3), 3)
  expect(replaced.loss.after).toBeLessThan(1)
  const numbers = `${folder}/numbers.safetensors`
  const features = drawn([200, 4])
  const values = float32View(features)
  const targets = Float32Array.from({ length: 600 }, (_, i) => values[4 * Math.floor(i / 3)]!)
  writeFileSync(
    numbers,
    encodeSafetensors(
      new Map([
        ['features', features],
        ['targets', tensorOf(targets, [200, 3])],
      ]),
    ),
  )
  const fitted = await tune({ data: numbers, workers: 1, epochs: 20 })
  expect(fitted.loss.name).toBe('mean-squared-error')
  expect(fitted.loss.after).toBeLessThan(fitted.loss.before / 3)
}, 60_000)

function without(name: string): string {
  const path = `${folder}/without-${name}.safetensors`
  const tensors = rows(40)
  tensors.delete(name)
  writeFileSync(path, encodeSafetensors(tensors))
  return path
}

function withNode(op: string): string {
  const path = `${folder}/${op}.onnx`
  const b = graphBuilder(op)
  const w = b.initializer('w', drawn([4, 3]))
  const y = b.node('MatMul', [b.input('features', ['N', 4]), w])
  const attributes = { axis: integer(1) }
  writeFileSync(path, encodeOnnx(b.build([b.node(op, [y], { attributes, name: 'odd' })])))
  return path
}

const refused: readonly (readonly [string, () => Partial<ModelOptions>, string])[] = [
  ['a model that is not there', () => ({ model: `${folder}/none.onnx` }), 'none.onnx'],
  ['data that is no safetensors file', () => ({ data: file }), 'no square images'],
  ['data without targets', () => ({ data: without('targets') }), 'no tensor named targets'],
  ['data without an input', () => ({ data: without('features') }), 'no tensor named features'],
  [
    'an operator without a gradient, by its node',
    () => ({ model: withNode('Hardmax') }),
    'odd (Hardmax)',
  ],
  ['an output that is not there', () => ({ output: 'nothing' }), 'nothing'],
]

for (const [what, changes, message] of refused) {
  test(`refused in one line: ${what}`, async () => {
    const failed = await tune(changes()).catch((error: Error) => error)
    expect(failed).toBeInstanceOf(Error)
    expect((failed as Error).message).toContain(message)
    expect((failed as Error).message).not.toContain('\n')
    expect(existsSync(`${folder}/run-${runs}/model.onnx`)).toBe(false)
  })
}
