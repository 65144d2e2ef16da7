import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { InferenceSession } from 'onnxruntime-node'
import { graphBuilder } from '../../models/builder.ts'
import {
  DeviceError,
  type DeviceFaultKind,
  failureOf,
  judgeFault,
  SessionError,
} from '../../models/device-faults.ts'
import {
  absenceHere,
  DeviceNameError,
  explainAbsence,
  formatDevice,
  isExclusive,
  parseDevice,
  parseDevices,
  providerNames,
} from '../../models/devices.ts'
import type { Node } from '../../models/graph.ts'
import { encodeOnnx } from '../../models/onnx-file.ts'
import { openSession, productGraph, providers } from '../../models/session.ts'
import { tensorOf } from '../../protocol/tensor.ts'

describe('device names', () => {
  test('of numbered providers carry a number, 0 where none is given', () => {
    expect(parseDevice('cuda')).toEqual({ provider: 'cuda', index: 0 })
    expect(parseDevice('dml:12')).toEqual({ provider: 'dml', index: 12 })
    expect(parseDevices('cuda, cuda:0,tensorrt:1,cpu')).toEqual(['cuda:0', 'tensorrt:1', 'cpu'])
  })

  test('are read as they are written', () => {
    const device = fc.record({
      provider: fc.constantFrom(...providerNames),
      index: fc.nat({ max: 999 }),
    })
    fc.assert(
      fc.property(device, (given) => {
        const name = formatDevice(given)
        expect(formatDevice(parseDevice(name))).toBe(name)
        expect(parseDevice(name).provider).toBe(given.provider)
      }),
    )
  })

  const wrong = [
    '',
    'gpu',
    'CUDA:0',
    'cuda:',
    'cuda:-1',
    'cpu:0',
    'webgpu:1',
    'constructor',
    'cpu;',
  ]
  test.each(wrong)('%p is refused with all forms', (name) => {
    expect(() => parseDevice(name)).toThrow(DeviceNameError)
    expect(() => parseDevices(name)).toThrow(
      `'${name}' is no device; give one of cpu, cuda:0, tensorrt:0, webgpu, dml:0, coreml`,
    )
  })

  test('only the CPU is shared by several processes', () => {
    expect(
      ['cpu', 'cuda:1', 'webgpu', 'coreml', 'dml', 'tensorrt'].filter(isExclusive),
    ).toHaveLength(5)
    expect(isExclusive('cpu')).toBe(false)
  })
})

// Real texts: of this machine, and of issues of microsoft/onnxruntime (numbers where known).
const faults: [device: string, fault: DeviceFaultKind | undefined, message: string][] = [
  [
    'cuda:0',
    'lost',
    'run failed: CUDA failure 719: unspecified launch failure ; GPU=0 ; expr=cudaMemcpyAsync(...)',
  ],
  ['cuda:0', 'lost', 'CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR ; GPU=0 (11592)'],
  [
    'cuda:0',
    'memory',
    'CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);',
  ],
  [
    'cuda:0',
    'memory',
    'Non-zero status code returned while running ReduceSum node. BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 939524096 (16307)',
  ],
  [
    'cuda:0',
    'provider',
    'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version ; expr=cudaSetDevice(info_.device_id);',
  ],
  ['cuda:7', 'provider', 'CUDA failure 101: invalid device ordinal ; GPU=7 ; (27857)'],
  [
    'cuda:0',
    'provider',
    'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library',
  ],
  ['webgpu', 'provider', 'Failed to get a WebGPU adapter: No supported adapters'],
  [
    'webgpu',
    'memory',
    'WebGPU validation failed. [Invalid Buffer (unlabeled)] is invalid due to a previous error.',
  ],
  [
    'webgpu',
    'lost',
    'WebGPU device lost (1): A valid external Instance reference no longer exists.',
  ],
  ['dml:0', 'lost', '887A0005 The GPU device instance has been suspended. (22700)'],
  ['dml:0', 'lost', '887A0006 The GPU will not respond to more commands (28495)'],
  [
    'dml:0',
    'memory',
    '8007000E Not enough memory resources are available to complete this operation.',
  ],
  ['coreml', 'provider', 'no available backend found. ERR: [coreml] backend not found.'],
  ['coreml', 'unknown', 'Error executing model: Unable to compute the prediction (26355)'],
  ['cuda:0', 'unknown', 'a text that no table knows'],
  ['cpu', undefined, 'a text that no table knows'],
  ['cpu', 'lost', 'injected: the device is lost'],
  // The model's own, on whatever device.
  [
    'cuda:0',
    undefined,
    'model: cannot be opened: Failed to load model because protobuf parsing failed.',
  ],
  ['cuda:0', undefined, 'Got invalid dimensions for input: x for the following indices'],
  ['webgpu', undefined, "input 'y' is missing in 'feeds'."],
  [
    'cuda:0',
    undefined,
    'This session contains graph nodes that are assigned to the default CPU EP, but fallback to CPU EP has been explicitly disabled by the user.',
  ],
]

describe('errors of a session', () => {
  test.each(faults)('on %s: %p of %j', (device, fault, message) => {
    expect(judgeFault(device, message)).toBe(fault)
    const error = failureOf(device, 'net: run failed', new Error(message))
    expect(error).toBeInstanceOf(fault === undefined ? SessionError : DeviceError)
    expect(error.message).toContain(`net: run failed: ${message}`)
    expect((error.cause as Error).message).toBe(message)
  })

  test('a device error names device, fault and cause; neither class is the other', () => {
    const error = failureOf('cuda', 'net: run failed', new Error('CUDA failure 719: unspecified'))
    expect(error).toMatchObject({ name: 'DeviceError', device: 'cuda:0', fault: 'lost' })
    expect(error.message).toBe('cuda:0 is lost: net: run failed: CUDA failure 719: unspecified')
    expect(error).not.toBeInstanceOf(SessionError)
  })

  test('that are our own are not blamed on the device', () => {
    expect(
      failureOf('cuda:0', 'net', new SessionError('a bfloat16 tensor cannot be fed')),
    ).toBeInstanceOf(SessionError)
  })
})

// Texts that only the CPU could give us here; another provider's own checks may say it otherwise.
test('what ONNX Runtime says of a wrong graph or of wrong feeds is not blamed on a GPU', async () => {
  const graph = productGraph()
  const [node, second] = graph.nodes
  const zeros = (...shape: number[]) => tensorOf(new Float32Array(shape[0]! * shape[1]!), shape)
  const open = (changes: Partial<Node>) =>
    openSession({ ...graph, nodes: [{ ...node!, ...changes }, second!] }, { threads: 1 })
  const session = await open({})
  const b = graphBuilder('sum and rows')
  const x = b.input('x', ['N', 'M'])
  const sum = b.node('Add', [x, b.input('y', ['N', 'K'])], { name: 'sum' })
  const product = b.node('MatMul', [x, b.input('w', ['P', 'Q'])], { name: 'product' })
  const loose = await openSession(b.build([sum, product]), { threads: 1 })
  const wrong = [
    () => openSession(Uint8Array.of(1, 2, 3), { threads: 1 }),
    () => open({ op: 'NoSuchOperator' }),
    () => open({ inputs: ['x', 'nowhere'] }),
    () => open({ inputs: ['x'] }),
    () => openSession({ ...graph, nodes: [] }, { threads: 1 }),
    () => session.run({ x: zeros(1, 2) }),
    () => session.run({ x: zeros(1, 3), w: zeros(2, 2) }),
    () => session.run({ x: zeros(1, 2), w: { ...zeros(2, 2), shape: [4] } }),
    () => loose.run({ x: zeros(2, 2), y: zeros(2, 3), w: zeros(2, 2) }),
    () => loose.run({ x: zeros(2, 2), y: zeros(2, 2), w: zeros(3, 2) }),
  ]
  for (const failing of wrong) {
    const error = await failing().then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(error).toBeInstanceOf(SessionError)
    const { message } = error as SessionError
    expect([message, judgeFault('cuda:0', message)]).toEqual([message, undefined])
  }
})

describe('what is missing is said with what to do', () => {
  const said: [said: string, reason: string, advice: RegExp][] = [
    [
      'Failed to load library /a/b/libonnxruntime_providers_shared.so with error: /a/b/libonnxruntime_providers_shared.so: cannot open shared object file: No such file or directory',
      'its provider is not in the package',
      /^bun pm trust onnxruntime-node/,
    ],
    [
      'Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.12: cannot open shared object file: No such file or directory (22968)',
      'libcublasLt.so.12 is missing',
      /CUDA 12/,
    ],
    [
      'libonnxruntime_providers_cuda.so with error: libcudnn.so.9: cannot open shared object file: No such file',
      'libcudnn.so.9 is missing',
      /cuDNN 9/,
    ],
    [
      'libonnxruntime_providers_tensorrt.so with error: libnvinfer.so.10: cannot open shared object file',
      'libnvinfer.so.10 is missing',
      /TensorRT 10/,
    ],
    [
      'Warning: Couldn’t load libvulkan.so.1: libvulkan.so.1: cannot open shared object file\nFailed to get a WebGPU adapter: No supported adapters',
      'libvulkan.so.1 is missing',
      /Vulkan loader/,
    ],
    ['Failed to get a WebGPU adapter: No supported adapters', 'no GPU adapter was found', /Vulkan/],
    [
      'CUDA failure 100: no CUDA-capable device is detected',
      'no NVIDIA GPU that its driver offers',
      /nvidia-smi/,
    ],
    [
      'CUDA failure 35: CUDA driver version is insufficient',
      'the NVIDIA driver is older than CUDA 12',
      /nvidia-smi/,
    ],
    ['CUDA failure 101: invalid device ordinal', 'there is no GPU of this number', /lower/],
    ['\n  something new\nand more', 'something new', /message/],
    ['', 'it said nothing', /message/],
  ]
  test.each(said)('%j', (text, reason, advice) => {
    const absence = explainAbsence(text)
    expect(absence.reason).toBe(reason)
    expect(absence.advice).toMatch(advice)
  })

  test('a provider of another platform needs no probe', () => {
    expect(absenceHere('coreml', 'linux/x64')?.reason).toBe('only on macOS')
    expect(absenceHere('dml', 'darwin/arm64')?.reason).toBe('only on Windows')
    expect(absenceHere('cuda', 'linux/arm64')?.reason).toBe('only on Linux x64')
    expect(absenceHere('webgpu', 'linux/arm64')).toBeDefined()
    for (const { name } of providers()) {
      const here = `${process.platform}/${process.arch}`
      expect(absenceHere(parseDevice(name).provider, here)).toBeUndefined()
    }
  })
})

// What `openSession` relies on for every device but the CPU; the binding's type says it is not supported.
test('the binding refuses nodes on the CPU where it is told to', async () => {
  const bytes = encodeOnnx(productGraph())
  const extra = { session: { disable_cpu_ep_fallback: '1' } }
  const opening = InferenceSession.create(bytes, {
    executionProviders: ['cpu'],
    logSeverityLevel: 4,
    extra,
  })
  expect(opening).rejects.toThrow('assigned to the default CPU EP')
})
