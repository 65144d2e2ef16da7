// Files that torch.onnx.export wrote (tests/golden/exports.py) have the gradients of autograd.
import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { backward } from '../../models/autodiff/backward.ts'
import { decodeOnnx } from '../../models/onnx-file.ts'
import { openSession } from '../../models/session.ts'
import { fineTuning } from '../../models/trainable.ts'
import { bytesOf, float32View, type Tensor } from '../../protocol/tensor.ts'

const folder = join(import.meta.dir, '../golden/exports')
const files = readdirSync(folder).filter((file) => file.endsWith('.onnx'))

interface Golden {
  readonly shape: readonly number[]
  readonly x: readonly number[]
  readonly targets: readonly number[]
  readonly loss: number
  readonly gradients: Readonly<Record<string, readonly number[]>>
}

const int64 = (values: readonly number[], shape: readonly number[]): Tensor => ({
  dtype: 'int64',
  shape,
  bytes: bytesOf(BigInt64Array.from(values, BigInt)),
})

test.each(files)("%s: loss and gradients are PyTorch's", async (file) => {
  const golden = (await Bun.file(
    join(folder, file.replace(/-\w+\.onnx/, '.json')),
  ).json()) as Golden
  const model = decodeOnnx(await Bun.file(join(folder, file)).bytes())
  const { graph, trainable } = fineTuning(model, { loss: 'cross-entropy' })
  const names = trainable.map(({ name }) => name)
  expect(names.toSorted()).toEqual(Object.keys(golden.gradients).toSorted())
  const session = await openSession(backward(graph, 'loss', names), { threads: 1 })
  const isWhole = model.inputs[0]?.dtype === 'int64'
  const x = isWhole
    ? int64(golden.x, golden.shape)
    : ({
        dtype: 'float32',
        shape: golden.shape,
        bytes: bytesOf(Float32Array.from(golden.x)),
      } as const)
  const outputs = await session.run({
    x,
    targets: int64(golden.targets, [golden.targets.length]),
    ...Object.fromEntries(trainable.map(({ name, tensor }) => [name, tensor])),
  })
  expect(float32View(outputs.loss!)[0]!).toBeCloseTo(golden.loss, 5)
  for (const name of names) {
    const got = float32View(outputs[`gradient/${name}`]!)
    const expected = golden.gradients[name]!
    expect(got.length).toBe(expected.length)
    for (const [index, value] of expected.entries()) {
      expect(Math.abs(got[index]! - value)).toBeLessThan(1e-6 + 1e-4 * Math.abs(value))
    }
  }
})
