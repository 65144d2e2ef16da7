// Which errors of a session are a fault of its device, so that a process on a fresh or another device may
// do better, and which are the model's own, that every device would repeat.
import { formatDevice, parseDevice } from './devices.ts'

export class SessionError extends Error {
  override readonly name: string = 'SessionError'
}

/** lost: gone or hung; memory: none left on it; provider: it could not be set up; unknown: no pattern's. */
export type DeviceFaultKind = 'lost' | 'memory' | 'provider' | 'unknown'

/** The device failed, not the model: what the process holds on it is not to be trusted any more. */
export class DeviceError extends Error {
  override readonly name = 'DeviceError'
  readonly device: string
  readonly fault: DeviceFaultKind
  constructor(device: string, fault: DeviceFaultKind, what: string, options?: ErrorOptions) {
    super(`${device} ${verbs[fault]}: ${what}`, options)
    this.device = device
    this.fault = fault
  }
}

const verbs: { readonly [F in DeviceFaultKind]: string } = {
  lost: 'is lost',
  memory: 'has no memory left',
  provider: 'could not be opened',
  unknown: 'failed',
}

/**
 * Texts of ONNX Runtime's providers, as their issues have them: it gives no codes. Those of CUDA, DirectML
 * and CoreML are untried here; WebGPU was tried on a software adapter.
 */
const faultPatterns: readonly [DeviceFaultKind, RegExp][] = [
  ['memory', /out of memory|ran out of memory|Failed to allocate memory|E_OUTOFMEMORY|8007000E/i],
  // Of WebGPU when a buffer could not be made; the reason goes to standard error.
  ['memory', /\[Invalid Buffer\b.* is invalid due to a previous error/],
  ['memory', /CUDA (?:failure|error) 2\b|C(?:UDNN|UBLAS)_STATUS_ALLOC_FAILED/i],
  ['lost', /device (?:is |was |has been )?(?:lost|removed|hung|reset|suspended)/i],
  ['lost', /DEVICE_(?:LOST|REMOVED|HUNG|RESET)|DRIVER_INTERNAL_ERROR|887A00(?:05|06|07|20)/i],
  ['lost', /GPU device instance has been suspended|GPU will not respond/i],
  ['provider', /no CUDA-capable device|driver version is insufficient|invalid device ordinal/i],
  ['provider', /CUDA (?:failure|error) (?:35|100|101|804)\b/i],
  [
    'lost',
    /CUDA (?:failure|error)|C(?:UDNN|UBLAS)(?:_STATUS| failure)|unspecified launch failure/i,
  ],
  ['provider', /WebGPU adapter|WebGPU device|No supported adapters/i],
  ['provider', /AppendExecutionProvider|Failed to load (?:shared )?library|backend not found/i],
  ['provider', /sessionOptions\.executionProviders\[\d+\] is unsupported/i],
]

/** What every device would answer alike: the graph or its inputs are wrong. */
const modelPatterns: readonly RegExp[] = [
  /Protobuf parsing failed|failed to load model|Load model from|INVALID_PROTOBUF|INVALID_GRAPH/i,
  /\binvalid model\.|is not a registered function\/op|Unsupported model IR version/i,
  /Type Error:|ShapeInferenceError|Failed to find kernel|NOT_IMPLEMENTED/i,
  /Got invalid dimensions|Invalid rank for input|Unexpected input data type/i,
  /is missing in 'feeds'|Invalid input name|Missing Input|it has no output named/i,
  /dimension mismatch|Attempting to broadcast|Incompatible dimensions|indices element out of data bounds/i,
  /assigned to the default CPU EP/i,
]

/**
 * Nothing where the model is at fault. Conservative: what no table knows counts against every device but
 * the CPU, where a new process would only repeat it.
 */
export function judgeFault(device: string, message: string): DeviceFaultKind | undefined {
  const known = faultPatterns.find(([, pattern]) => pattern.test(message))
  if (known) return known[0]
  if (modelPatterns.some((pattern) => pattern.test(message))) return undefined
  return parseDevice(device).provider === 'cpu' ? undefined : 'unknown'
}

/** The error to throw for what a session on this device threw. */
export function failureOf(
  device: string,
  what: string,
  cause: unknown,
): SessionError | DeviceError {
  const message = `${what}: ${cause instanceof Error ? cause.message : cause}`
  const fault = cause instanceof SessionError ? undefined : judgeFault(device, message)
  if (fault === undefined) return new SessionError(message, { cause })
  return new DeviceError(formatDevice(parseDevice(device)), fault, message, { cause })
}
