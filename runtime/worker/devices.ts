// Which device a worker process owns. To the runtime a device is a name that the process is told; what
// can be done with it, its actors know. `decideDevice` is the whole policy, a pure verdict over owners and
// faults; `deviceRegister` keeps those for one pool.

/** After a device fault: start again on the same device, or on the next that may be had. */
export type DevicePolicy = 'same' | 'next'

export interface DeviceOptions {
  /** In order of preference. */
  readonly choices: readonly string[]
  /** Those of them that one worker of the pool at a time may own; the others are shared. */
  readonly exclusive?: readonly string[]
  /** Default 'same'. */
  readonly policy?: DevicePolicy
}

export interface DeviceLimits {
  /** A device with so many faults ... */
  readonly deviceFaultsMax: number
  /** ... within so long rests: with policy 'next' it is passed over. Then it may be had again. */
  readonly deviceFaultWindowMs: number
}

export const deviceLimits: DeviceLimits = {
  deviceFaultsMax: 1,
  deviceFaultWindowMs: 600_000,
}

/** Whoever owned it: a device that failed one worker is no better for another. */
export interface DeviceFault {
  readonly device: string
  readonly at: number
}

/**
 * first: of this worker's lives; kept: nothing speaks against it, or the policy is 'same'; moved: its
 * device rests; returned: a preferred one has rested, or is free again; none-rested: all that are free
 * have faulted lately, this one the longest ago.
 */
export type DeviceReason = 'first' | 'kept' | 'moved' | 'returned' | 'none-rested'

export interface DeviceDecision {
  readonly device: string
  readonly reason: DeviceReason
}

export interface DeviceSituation extends DeviceOptions {
  /** Of the life that has ended; absent for the first. */
  readonly current?: string
  /** Devices of the other workers of the pool. */
  readonly owned: ReadonlySet<string>
  readonly faults: readonly DeviceFault[]
  /** Milliseconds of the same clock as the faults'. */
  readonly now: number
  readonly limits: DeviceLimits
}

/** The device of a worker's next life; nothing where others own every choice. */
export function decideDevice(situation: DeviceSituation): DeviceDecision | undefined {
  const { choices, exclusive = [], policy = 'same', current, owned, faults, now } = situation
  const { deviceFaultsMax, deviceFaultWindowMs } = situation.limits
  if (policy === 'same' && current !== undefined) return { device: current, reason: 'kept' }
  const free = choices.filter((device) => !(exclusive.includes(device) && owned.has(device)))
  const recent = faults.filter(({ at }) => now - at < deviceFaultWindowMs)
  const faultsOf = (device: string) => recent.filter((fault) => fault.device === device)
  const rested = free.find((device) => faultsOf(device).length < deviceFaultsMax)
  if (rested !== undefined) return { device: rested, reason: reasonFor(rested, situation) }
  const lastFault = (device: string) => Math.max(...faultsOf(device).map(({ at }) => at))
  const [longest] = free.toSorted((one, other) => lastFault(one) - lastFault(other))
  return longest === undefined ? undefined : { device: longest, reason: 'none-rested' }
}

function reasonFor(device: string, { current, choices }: DeviceSituation): DeviceReason {
  if (current === undefined) return 'first'
  if (device === current) return 'kept'
  return choices.indexOf(device) < choices.indexOf(current) ? 'returned' : 'moved'
}

/** Every choice of a worker is another's: give it one more, or start fewer workers. */
export class NoDeviceError extends Error {
  override readonly name = 'NoDeviceError'
}

/** Owners and faults of the devices of one pool. */
export interface DeviceRegister {
  /**
   * Decides which device the worker has from now on. A worker keeps the one it had while it waits for its
   * restart. Throws `NoDeviceError`.
   */
  assign(worker: string, options: DeviceOptions, now: number): DeviceDecision
  fault(device: string, now: number): void
  release(worker: string): void
}

/** Faults kept at a time: more within one window decide nothing else. */
const FAULTS_MAX = 256

export function deviceRegister(limits: DeviceLimits): DeviceRegister {
  const owners = new Map<string, string>()
  let faults: readonly DeviceFault[] = []
  return {
    assign(worker, options, now) {
      const current = owners.get(worker)
      const others = [...owners].filter(([name]) => name !== worker)
      const owned = new Set(others.map(([, device]) => device))
      const situation = { ...options, owned, faults, now, limits }
      const decided = decideDevice(current === undefined ? situation : { ...situation, current })
      if (!decided) {
        throw new NoDeviceError(`${worker}: other workers own ${options.choices.join(', ')}`)
      }
      owners.set(worker, decided.device)
      return decided
    },
    fault(device, now) {
      const recent = faults.filter(({ at }) => now - at < limits.deviceFaultWindowMs)
      faults = [...recent, { device, at: now }].slice(-FAULTS_MAX)
    },
    release: (worker) => void owners.delete(worker),
  }
}

/** Exit code of a process that ends itself because its device failed, in case its last words are lost. */
export const EXIT_DEVICE_FAULT = 75

/** Signals that end a process whose driver or provider crashed in it. */
const crashSignals = ['SIGSEGV', 'SIGABRT', 'SIGBUS', 'SIGILL', 'SIGFPE', 'SIGTRAP']

export function isDeviceFault(death: {
  readonly code: number | null
  readonly processSignal: string | null
  /** The process said so itself. */
  readonly isSaid: boolean
  /** It owned a device that nobody shares: a crash is more likely its driver's than ours. */
  readonly isExclusive: boolean
}): boolean {
  const { code, processSignal, isSaid, isExclusive } = death
  if (isSaid || code === EXIT_DEVICE_FAULT) return true
  return isExclusive && processSignal !== null && crashSignals.includes(processSignal)
}
