import { describe, expect, test } from 'bun:test'
import {
  CheckpointError,
  classesOfCheckpoint,
  readCheckpoint,
  writeCheckpoint,
} from '../../models/checkpoint.ts'
import { encodeHalf } from '../../models/half.ts'
import { imageNetwork } from '../../models/networks/networks.ts'
import { initialise, layoutOf } from '../../models/parameters.ts'
import { decodeSafetensors, encodeSafetensors, SafetensorsError } from '../../models/safetensors.ts'
import { randomFor } from '../../protocol/random.ts'
import { bytesOf, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'

const network = imageNetwork({ network: 'googlenet-small', size: 32, classes: 10 })
const layout = layoutOf(network.parameters)
const values = initialise(layout, randomFor('checkpoint'))
const file = writeCheckpoint(network, values)
const initial = new Float32Array(layout.count)
const read = (tensors: Map<string, Tensor>, to = network) =>
  readCheckpoint(to, encodeSafetensors(tensors), new Float32Array(layoutOf(to.parameters).count))
const tensorsOf = () => decodeSafetensors(file).tensors

describe('A checkpoint', () => {
  test('comes back as it was written', () => {
    expect(readCheckpoint(network, file, initial)).toEqual(values)
  })

  test('holds a counter beside every normalisation', () => {
    const counter = tensorsOf().get('inception3a.branch1.bn.num_batches_tracked')
    expect(counter?.dtype).toBe('int64')
    expect(counter?.shape).toEqual([])
  })

  test('may be without counters and with auxiliary heads of its own', () => {
    const tensors = tensorsOf()
    for (const name of tensors.keys()) {
      if (name.endsWith('num_batches_tracked')) tensors.delete(name)
    }
    tensors.set('aux1.fc1.weight', tensorOf(new Float32Array(6), [2, 3]))
    tensors.set('AuxLogits.fc.bias', tensorOf(new Float32Array(2)))
    expect(read(tensors)).toEqual(values)
  })

  test('may be float16', () => {
    const tensors = tensorsOf()
    for (const [name, tensor] of tensors) {
      if (tensor.dtype !== 'float32') continue
      const halves = new Uint16Array(float32View(tensor).length)
      encodeHalf(float32View(tensor), halves)
      tensors.set(name, { dtype: 'float16', shape: tensor.shape, bytes: bytesOf(halves) })
    }
    const got = read(tensors)
    const differences = got.map((value, i) => Math.abs(value - (values[i] ?? 0)))
    expect(Math.max(...differences.subarray(0, 50_000))).toBeLessThan(1e-3)
  })

  test('lacks nothing, has nothing unknown, and every shape fits, or all that is wrong is named', () => {
    const tensors = tensorsOf()
    tensors.delete('inception3a.branch1.conv.weight')
    tensors.set('stranger', tensorOf(new Float32Array(1)))
    tensors.set('conv2.bn.bias', tensorOf(new Float32Array(3)))
    tensors.set('conv2.bn.weight', { dtype: 'uint8', shape: [48], bytes: new Uint8Array(48) })
    const got = () => read(tensors)
    expect(got).toThrow(CheckpointError)
    expect(got).toThrow(/inception3a\.branch1\.conv\.weight is missing/)
    expect(got).toThrow(/stranger is unknown/)
    expect(got).toThrow(/conv2\.bn\.bias is 3, not 48/)
    expect(got).toThrow(/conv2\.bn\.weight is uint8/)
    expect(got).not.toThrow(/\n/)
  })

  test('of another network is refused in one line of ten names', () => {
    const other = imageNetwork({ network: 'inception-v4', size: 299, classes: 10 })
    const got = () =>
      readCheckpoint(other, file, new Float32Array(layoutOf(other.parameters).count))
    expect(got).toThrow(/not a checkpoint of inception-v4 with 10 classes: .*, and \d+ more$/)
  })

  test('of other classes is refused by name, and says how many it has', () => {
    const other = imageNetwork({ network: 'googlenet-small', size: 32, classes: 4 })
    expect(() => read(tensorsOf(), other)).toThrow('fc.weight is 10x256, not 4x256')
    expect(classesOfCheckpoint(other, file)).toBe(10)
  })

  test('without auxiliary heads leaves theirs at their initial values', () => {
    const given = { network: 'googlenet-bn', size: 32, classes: 10 } as const
    const bare = imageNetwork({ ...given, auxiliary: false })
    const full = imageNetwork(given)
    const written = writeCheckpoint(bare, new Float32Array(layoutOf(bare.parameters).count).fill(3))
    const layout = layoutOf(full.parameters)
    const got = readCheckpoint(full, written, initialise(layout, randomFor('aux')))
    for (const { name, offset, length } of layoutOf(full.parameters).slices) {
      const isAuxiliary = name.startsWith('aux')
      if (isAuxiliary && name.endsWith('conv.weight')) expect(got[offset]).not.toBe(0)
      expect(got.subarray(offset, offset + length).every((value) => value === 3)).toBe(!isAuxiliary)
    }
  })

  test('whose header lies about sizes is refused', () => {
    const lying = file.slice()
    new DataView(lying.buffer).setBigUint64(0, 1n << 40n, true)
    expect(() => readCheckpoint(network, lying, initial)).toThrow(SafetensorsError)
  })
})
