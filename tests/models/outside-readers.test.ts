// Our files in the hands of others: ONNX's own checker, and Python that knows only the format's text.
// Skipped where Python or its module is not installed.
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { acousticModel, acousticNetwork } from '../../models/networks/acoustic.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { initialise, layoutOf, viewsOf } from '../../models/parameters.ts'
import { encodeSafetensors } from '../../models/safetensors.ts'
import { randomFor } from '../../protocol/random.ts'
import { float32View, tensorOf } from '../../protocol/tensor.ts'

/** The first Python that has this module: a user's own may hide the system's. */
function pythonWith(module: string): string | undefined {
  const candidates = [Bun.which('python3'), '/usr/bin/python3']
  return candidates.find(
    (python): python is string =>
      python !== null && runs(() => Bun.spawnSync([python, '-c', `import ${module}`])),
  )
}

function runs(spawn: () => { readonly exitCode: number }): boolean {
  try {
    return spawn().exitCode === 0
  } catch {
    return false
  }
}

/** What `script` prints, which finds `bytes` in the file of its first argument. */
function printedBy(python: string | undefined, script: string, bytes: Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'outside-'))
  try {
    const path = join(folder, 'file')
    writeFileSync(path, bytes)
    const { exitCode, stdout, stderr } = Bun.spawnSync([python ?? '', '-c', script, path])
    if (exitCode !== 0) throw new Error(stderr.toString())
    return stdout.toString()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [plainPython, onnxPython] = [pythonWith('json'), pythonWith('onnx')]
const options = { inputs: 5, hidden: [8, 6], outputs: 4 }

describe.each([
  ['relu', 'relu'],
  ['p-norm', { pNormGroup: 2 }],
] as const)('the acoustic model with %s', (_, nonlinearity) => {
  const complete = { ...options, nonlinearity }
  const layout = layoutOf(acousticNetwork(complete).parameters)
  const values = initialise(layout, randomFor('outside'))

  test.skipIf(!onnxPython)(
    'passes the full check of ONNX, which reads its weights as they are',
    () => {
      const model = acousticModel(complete, { layout, values }, { card: '{"by": "test"}' })
      const script = `
import json, sys, onnx
from onnx import numpy_helper
model = onnx.load(sys.argv[1])
onnx.checker.check_model(model, full_check=True)
tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
print(json.dumps({
  'inputs': [i.name for i in model.graph.input], 'outputs': [o.name for o in model.graph.output],
  'metadata': {p.key: p.value for p in model.metadata_props},
  'tensors': {n: [list(t.shape), t.ravel().tolist()] for n, t in tensors.items()}}))`
      const read = JSON.parse(printedBy(onnxPython, script, encodeOnnx(model)))
      expect(read.inputs).toEqual(['features'])
      expect(read.outputs).toEqual(['logPosteriors'])
      expect(read.metadata).toEqual({ card: '{"by": "test"}' })
      for (const [name, tensor] of Object.entries(viewsOf(layout, values))) {
        expect(read.tensors[name]).toEqual([[...tensor.shape], [...float32View(tensor)]])
      }
    },
    30_000,
  )

  test.skipIf(!onnxPython)(
    'in training passes the full check of ONNX, gradients included',
    () => {
      const { forward, crossEntropy, outer } = acousticNetwork(complete)
      const script = `
import sys, onnx
onnx.checker.check_model(onnx.load(sys.argv[1]), full_check=True)`
      for (const graph of [forward, crossEntropy, outer]) {
        expect(printedBy(onnxPython, script, encodeOnnx(graph))).toBe('')
      }
    },
    30_000,
  )
})

test.skipIf(!plainPython)(
  'ten lines of Python read every value, shape and text of our safetensors',
  () => {
    const layout = layoutOf(acousticNetwork({ ...options, nonlinearity: 'relu' }).parameters)
    const views = viewsOf(layout, initialise(layout, randomFor('outside')))
    const labels = BigInt64Array.of(-1n, 2n ** 40n)
    const given = new Map([
      ['flags', { dtype: 'uint8', shape: [3], bytes: Uint8Array.of(7, 0, 255) } as const],
      ...Object.entries(views),
      ['labels', { dtype: 'int64', shape: [2], bytes: new Uint8Array(labels.buffer) } as const],
      ['scalar', tensorOf(Float32Array.of(1.5), [])],
    ])
    const script = `
import array, json, struct, sys
data = open(sys.argv[1], 'rb').read()
size, = struct.unpack('<Q', data[:8])
header = json.loads(data[8:8 + size])
metadata, read = header.pop('__metadata__'), {}
for name, entry in header.items():
    start, end = (8 + size + offset for offset in entry['data_offsets'])
    values = array.array({'F32': 'f', 'I64': 'q', 'U8': 'B'}[entry['dtype']], data[start:end])
    read[name] = [entry['dtype'], entry['shape'], values.tolist()]
print(json.dumps([metadata, read]))`
    const notes = { card: '{"words": ["one", "añd"]}' }
    const printed = printedBy(plainPython, script, encodeSafetensors(given, notes))
    const [metadata, read] = JSON.parse(printed)
    expect(metadata).toEqual(notes)
    expect(Object.keys(read).sort()).toEqual([...given.keys()].sort())
    for (const [name, tensor] of Object.entries(views)) {
      expect(read[name]).toEqual(['F32', [...tensor.shape], [...float32View(tensor)]])
    }
    expect(read.flags).toEqual(['U8', [3], [7, 0, 255]])
    expect(read.labels).toEqual(['I64', [2], [-1, 2 ** 40]])
    expect(read.scalar).toEqual(['F32', [], [1.5]])
  },
  30_000,
)
