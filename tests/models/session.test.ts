import { beforeAll, describe, expect, test } from 'bun:test'
import { graphBuilder } from '../../models/builder.ts'
import { DeviceError, SessionError } from '../../models/device-faults.ts'
import { DeviceNameError } from '../../models/devices.ts'
import { integer } from '../../models/graph.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { openSession, providers, type Session } from '../../models/session.ts'
import { bytesOf, float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'

/** sum = x + y, rows of `table` by int64 index, whether an int32 equals 2. */
function graph() {
  const b = graphBuilder('sums and rows')
  const x = b.input('x', ['N', 2])
  const sum = b.node('Add', [x, b.input('y', [2])], { name: 'sum' })
  const table = b.initializer('table', tensorOf(Float32Array.of(1, 2, 3, 4, 5, 6), [3, 2]))
  const rows = b.node('Gather', [table, b.input('index', ['K'], 'int64')], {
    attributes: { axis: integer(0) },
    name: 'rows',
  })
  const two = b.initializer('two', { dtype: 'int32', shape: [], bytes: bytesOf(Int32Array.of(2)) })
  const isTwo = b.node('Equal', [b.input('codes', ['K'], 'int32'), two], { name: 'isTwo' })
  const shape = b.node('Shape', [x], { name: 'shape' })
  return b.build([sum, rows, isTwo, shape])
}

const int64 = (...values: bigint[]): Tensor => ({
  dtype: 'int64',
  shape: [values.length],
  bytes: bytesOf(BigInt64Array.from(values)),
})
const int32 = (...values: number[]): Tensor => ({
  dtype: 'int32',
  shape: [values.length],
  bytes: bytesOf(Int32Array.from(values)),
})

const feeds = {
  x: tensorOf(Float32Array.of(1, 2, 3, 4), [2, 2]),
  y: tensorOf(Float32Array.of(10, 20)),
  index: int64(2n, 0n),
  codes: int32(2, 3),
}

let session: Session
beforeAll(async () => {
  session = await openSession(graph(), { threads: 1 })
})

/** The same bytes one byte further on, where no view of wider elements can lie. */
function misaligned(tensor: Tensor): Tensor {
  const bytes = new Uint8Array(tensor.bytes.byteLength + 1).subarray(1)
  bytes.set(tensor.bytes)
  return { ...tensor, bytes }
}

describe('a session', () => {
  test('returns every output with its dtype and shape', async () => {
    const { sum, rows, isTwo, shape } = await session.run(feeds)
    expect(sum!.shape).toEqual([2, 2])
    expect([...float32View(sum!)]).toEqual([11, 22, 13, 24])
    expect([...float32View(rows!)]).toEqual([5, 6, 1, 2])
    expect(isTwo).toEqual({ dtype: 'bool', shape: [2], bytes: Uint8Array.of(1, 0) })
    expect(shape!.dtype).toBe('int64')
    expect([...shape!.bytes]).toEqual([...bytesOf(BigInt64Array.of(2n, 2n))])
  })

  test('takes inputs that lie at any byte', async () => {
    const odd = Object.fromEntries(
      Object.entries(feeds).map(([name, tensor]) => [name, misaligned(tensor)]),
    )
    expect(await session.run(odd)).toEqual(await session.run(feeds))
  })

  test('takes inputs from shared memory', async () => {
    const shared = new Float32Array(new SharedArrayBuffer(16))
    shared.set([1, 2, 3, 4])
    const { sum } = await session.run({ ...feeds, x: tensorOf(shared, [2, 2]) })
    expect([...float32View(sum!)]).toEqual([11, 22, 13, 24])
  })

  test('takes another extent at the next run where the graph leaves it open', async () => {
    const { sum, rows } = await session.run({
      ...feeds,
      x: tensorOf(new Float32Array(0), [0, 2]),
      index: int64(1n),
    })
    expect(sum!.shape).toEqual([0, 2])
    expect([...float32View(rows!)]).toEqual([3, 4])
  })

  for (const Memory of [ArrayBuffer, SharedArrayBuffer]) {
    test(`writes an output in place into a part of an ${Memory.name}`, async () => {
      const flat = new Float32Array(new Memory(8 * 4)).fill(-1)
      const part = tensorOf(flat.subarray(3, 7), [2, 2])
      const { rows } = await session.run(feeds, { sum: part })
      expect([...flat]).toEqual([-1, -1, -1, 11, 22, 13, 24, -1])
      expect([...float32View(rows!)]).toEqual([5, 6, 1, 2])
      await session.run({ ...feeds, y: tensorOf(Float32Array.of(0, 0)) }, { sum: part })
      expect([...flat]).toEqual([-1, -1, -1, 1, 2, 3, 4, -1])
    })
  }

  test('opens the bytes of a model as it opens a graph', async () => {
    const opened = await openSession(encodeOnnx(graph()), { threads: 1 })
    expect(await opened.run(feeds)).toEqual(await session.run(feeds))
  })

  test('knows that its CPU provider comes with the package', () => {
    expect(providers()).toContainEqual({ name: 'cpu', bundled: true })
  })
})

describe('SessionError names the graph:', () => {
  const fetch = (shape: readonly number[], length: number) =>
    tensorOf(new Float32Array(length), shape)
  const { y: _, ...withoutY } = feeds
  type Run = readonly [Record<string, Tensor>, Record<string, Tensor>?]
  const short: Tensor = { dtype: 'float32', shape: [2, 2], bytes: new Uint8Array(12) }

  const cases: readonly (readonly [string, Run, string])[] = [
    ['an input of another shape', [{ ...feeds, y: fetch([3], 3) }], 'y'],
    ['an input of another rank', [{ ...feeds, y: fetch([2, 1], 2) }], 'y'],
    ['an input of another dtype', [{ ...feeds, index: int32(1, 2) }], 'int32'],
    ['an input that is missing', [withoutY], 'y'],
    ['bytes that do not fill their shape', [{ ...feeds, x: short }], ''],
    [
      'int64 bytes that do not fill their shape',
      [{ ...feeds, index: { ...int64(1n), shape: [2] } }],
      '',
    ],
    [
      'a dtype that cannot be fed',
      [{ ...feeds, x: { dtype: 'int16', shape: [], bytes: new Uint8Array(2) } }],
      'int16',
    ],
    ['an index outside the table', [{ ...feeds, index: int64(3n) }], ''],
    ['an output buffer of another shape', [feeds, { sum: fetch([4], 4) }], ''],
    ['an output buffer that is too long', [feeds, { sum: fetch([3, 2], 6) }], ''],
    [
      'an output buffer that is not aligned',
      [feeds, { sum: misaligned(fetch([2, 2], 4)) }],
      'not aligned',
    ],
    ['an output that the graph does not have', [feeds, { product: fetch([2, 2], 4) }], 'product'],
  ]
  for (const [what, [given, fetches], detail] of cases) {
    test(what, async () => {
      const failure = await session.run(given, fetches).then(
        () => undefined,
        (error: unknown) => error,
      )
      expect(failure).toBeInstanceOf(SessionError)
      const { message } = failure as SessionError
      expect(message).toStartWith('sums and rows: run failed: ')
      expect(message).toContain(detail)
    })
  }

  test('a graph with an operator that does not exist', async () => {
    const { nodes, ...rest } = graph()
    const broken = { ...rest, nodes: nodes.map((node) => ({ ...node, op: 'NoSuchOperator' })) }
    expect(openSession(broken, { threads: 1 })).rejects.toThrow('sums and rows: cannot be opened')
  })

  test('a device that does not exist, and one that this platform cannot have', () => {
    const open = (device: string) => openSession(graph(), { threads: 1, device })
    expect(open('abacus')).rejects.toThrow(DeviceNameError)
    const foreign = process.platform === 'win32' ? 'coreml' : 'dml:0'
    expect(open(foreign)).rejects.toThrow(DeviceError)
    expect(open(foreign)).rejects.toThrow(`${foreign} could not be opened: sums and rows: `)
  })

  test('bytes that are no model', () => {
    expect(openSession(Uint8Array.of(1, 2, 3), { threads: 1 })).rejects.toThrow(SessionError)
  })

  test('and runs go on after a failed one', async () => {
    await session.run(withoutY).catch(() => undefined)
    expect([...float32View((await session.run(feeds)).sum!)]).toEqual([11, 22, 13, 24])
  })
})
