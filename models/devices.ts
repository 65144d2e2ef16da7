// Devices by name, and what is to be done where one is missing. A device is what an execution provider
// of ONNX Runtime computes on: 'cpu', 'cuda:0', 'webgpu', 'coreml', 'dml:0', 'tensorrt:0'. Pure: whether
// a device really works is found out by `device-probe.ts`, in a process of its own.

export type Provider = keyof typeof providerTable

export interface Device {
  readonly provider: Provider
  /** Which of several; 0 where the provider knows only one. */
  readonly index: number
}

/** A name that is no device's. */
export class DeviceNameError extends Error {
  override readonly name = 'DeviceNameError'
}

interface ProviderRow {
  /** Whether its devices are numbered: 'cuda:0'. */
  readonly isNumbered: boolean
  /** Whether several processes may compute on one device at a time. */
  readonly isShareable: boolean
  /** Where onnxruntime-node 1.30 can have it (its README), as `process.platform`/`process.arch`. */
  readonly platforms: RegExp
  /** The same for people. */
  readonly where: string
}

export const providerTable = {
  cpu: { isNumbered: false, isShareable: true, platforms: /./, where: 'everywhere' },
  cuda: { isNumbered: true, isShareable: false, platforms: /^linux\/x64$/, where: 'on Linux x64' },
  tensorrt: {
    isNumbered: true,
    isShareable: false,
    platforms: /^linux\/x64$/,
    where: 'on Linux x64',
  },
  webgpu: {
    isNumbered: false,
    isShareable: false,
    platforms: /^(linux\/x64|(win32|darwin)\/(x64|arm64))$/,
    where: 'on Linux x64, Windows and macOS',
  },
  dml: { isNumbered: true, isShareable: false, platforms: /^win32\//, where: 'on Windows' },
  coreml: { isNumbered: false, isShareable: false, platforms: /^darwin\//, where: 'on macOS' },
} as const satisfies Record<string, ProviderRow>

export const providerNames = Object.keys(providerTable) as readonly Provider[]

const FORMS = providerNames
  .map((name) => (providerTable[name].isNumbered ? `${name}:0` : name))
  .join(', ')

/** 'cuda' is 'cuda:0'. Throws `DeviceNameError`. */
export function parseDevice(name: string): Device {
  const [, provider = '', number] = /^([a-z]+)(?::(\d{1,3}))?$/.exec(name) ?? []
  const isKnown = Object.hasOwn(providerTable, provider)
  const row: ProviderRow | undefined = isKnown ? providerTable[provider as Provider] : undefined
  if (!row || (number !== undefined && !row.isNumbered)) {
    throw new DeviceNameError(`'${name}' is no device; give one of ${FORMS}`)
  }
  return { provider: provider as Provider, index: Number(number ?? 0) }
}

export function formatDevice({ provider, index }: Device): string {
  return providerTable[provider].isNumbered ? `${provider}:${index}` : provider
}

/** 'cuda:0,cpu' in its order, each once. Throws `DeviceNameError`. */
export function parseDevices(names: string): readonly string[] {
  const parsed = names.split(',').map((name) => formatDevice(parseDevice(name.trim())))
  return [...new Set(parsed)]
}

/** One process at a time owns such a device. */
export function isExclusive(name: string): boolean {
  return !providerTable[parseDevice(name).provider].isShareable
}

/** Why a device cannot be used, and what to do: one short sentence each. */
export interface Absence {
  readonly reason: string
  readonly advice: string
}

/** Where no installation can have this provider; nothing where one can. */
export function absenceHere(provider: Provider, platform: string): Absence | undefined {
  const { platforms, where } = providerTable[provider]
  if (platforms.test(platform)) return undefined
  return { reason: `only ${where}`, advice: 'use another device' }
}

const INSTALL =
  'bun pm trust onnxruntime-node (it downloads the provider; needs an NVIDIA driver, CUDA 12, cuDNN 9)'

/** What a failed probe said, by what it says; the first row that matches explains. */
const absences: readonly [pattern: RegExp, explain: (found: RegExpExecArray) => Absence][] = [
  [
    /libonnxruntime_providers_\w+\.so: cannot open shared object file/,
    () => ({ reason: 'its provider is not in the package', advice: INSTALL }),
  ],
  [
    /(lib[\w.+-]+\.so[\d.]*): cannot open shared object file/,
    ([, library]) => ({
      reason: `${library} is missing`,
      advice: `install it (${ownerOf(library ?? '')}), or add its folder to LD_LIBRARY_PATH`,
    }),
  ],
  [
    /(lib[\w.+-]+\.so[\d.]*): (?:undefined symbol|version [`'\w.]+ not found)/,
    ([, library]) => ({
      reason: `${library} is of another version`,
      advice: 'install the version that onnxruntime-node was built for: CUDA 12, cuDNN 9',
    }),
  ],
  [
    /CUDA (?:failure|error) (?:100|35|804)\b|no CUDA-capable device|driver version is insufficient/i,
    ([found]) => ({
      reason: /35|insufficient/i.test(found)
        ? 'the NVIDIA driver is older than CUDA 12'
        : 'no NVIDIA GPU that its driver offers',
      advice: 'check nvidia-smi',
    }),
  ],
  [
    /CUDA (?:failure|error) 101\b|invalid device ordinal/i,
    () => ({ reason: 'there is no GPU of this number', advice: 'give a lower one' }),
  ],
  [
    /Failed to get a WebGPU adapter|No supported adapters/i,
    () => ({
      reason: 'no GPU adapter was found',
      advice: 'install the driver of the GPU (on Linux: Vulkan); a machine without a GPU has none',
    }),
  ],
  [
    /Failed to load shared library|backend not found|is unsupported: '/,
    () => ({ reason: 'its provider is not in the package', advice: INSTALL }),
  ],
  [
    /assigned to the default CPU EP/,
    () => ({ reason: 'it would compute on the CPU', advice: 'use cpu, or another provider' }),
  ],
]

function ownerOf(library: string): string {
  if (/cudnn/.test(library)) return 'cuDNN 9'
  if (/nvinfer|nvonnxparser/.test(library)) return 'TensorRT 10'
  if (/vulkan/.test(library)) return 'the Vulkan loader, and a Vulkan driver of the GPU'
  if (/cuda|cublas|cufft|curand|nvrtc/.test(library)) return 'CUDA 12'
  return 'a package of your system'
}

/** From everything a probe printed and threw. */
export function explainAbsence(said: string): Absence {
  for (const [pattern, explain] of absences) {
    const found = pattern.exec(said)
    if (found) return explain(found)
  }
  const line = said.split('\n').find((text) => text.trim() !== '') ?? 'it said nothing'
  return { reason: shorten(line.trim()), advice: 'look it up by this message' }
}

const REASON_LENGTH_MAX = 160

function shorten(text: string): string {
  return text.length <= REASON_LENGTH_MAX ? text : `${text.slice(0, REASON_LENGTH_MAX - 1)}…`
}
