// Devices of this machine: which there are, why others are not, and what a run may ask for. Whether one
// works is tried in a process of its own, because a provider may crash or hang the process that tries it.
import {
  type Absence,
  absenceHere,
  explainAbsence,
  formatDevice,
  isExclusive,
  type Provider,
  parseDevice,
  parseDevices,
  providerNames,
  providerTable,
} from '../models/devices.ts'
import type { DeviceOptions, DevicePolicy, Environment } from '../runtime/index.ts'

export interface DeviceState {
  /** 'cuda:0'. */
  readonly device: string
  readonly isAvailable: boolean
  /** What it showed when it was tried, or why it cannot be used. */
  readonly details: string
  /** What to do, where it cannot be used. */
  readonly advice?: string
}

export interface ListDevicesOptions {
  readonly environment: Pick<Environment, 'clock' | 'processes'>
  /** Default: 'platform/arch' of this process. */
  readonly platform?: string
  /** Module of a probing process; it takes a device and prints `ProbeResult`. */
  readonly probeModule?: string
}

/** What a probing process prints, after `PROBE_MARK`: everything else that providers print is no result. */
export type ProbeResult =
  | { readonly ok: true; readonly details: string }
  | { readonly ok: false; readonly error: string }

export const PROBE_MARK = 'troupe-probe '

/** TensorRT builds an engine for its first graph; a driver that hangs takes for ever. */
const PROBE_MS_MAX = 60_000
/** Devices of one provider that are tried in turn. */
const NUMBERED_MAX = 16
/** Of what a probe prints; the reason stands at its start. */
const OUTPUT_LENGTH_MAX = 65_536

/** Every provider that onnxruntime-node may have, in order; of numbered ones each device that works. */
export async function listDevices(options: ListDevicesOptions): Promise<readonly DeviceState[]> {
  const states = await Promise.all(providerNames.map((provider) => devicesOf(provider, options)))
  return states.flat()
}

async function devicesOf(provider: Provider, options: ListDevicesOptions): Promise<DeviceState[]> {
  const states: DeviceState[] = []
  const last = providerTable[provider].isNumbered ? NUMBERED_MAX : 1
  for (let index = 0; index < last; index++) {
    const state = await deviceState(formatDevice({ provider, index }), options)
    // After those that work, one that does not is only the end of the row.
    if (state.isAvailable || index === 0) states.push(state)
    if (!state.isAvailable) break
  }
  return states
}

/** Opens a session on the device and runs it. */
export async function deviceState(name: string, options: ListDevicesOptions): Promise<DeviceState> {
  const { provider } = parseDevice(name)
  const platform = options.platform ?? `${process.platform}/${process.arch}`
  const absence = absenceHere(provider, platform)
  if (absence) return absent(name, absence)
  const probed = await probe(name, options)
  if (probed.ok) return { device: name, isAvailable: true, details: probed.details }
  return absent(name, probed.absence)
}

function absent(device: string, { reason, advice }: Absence): DeviceState {
  return { device, isAvailable: false, details: reason, advice }
}

type Probed = Extract<ProbeResult, { ok: true }> | { readonly ok: false; readonly absence: Absence }

function probe(device: string, { environment, probeModule }: ListDevicesOptions): Promise<Probed> {
  const { clock, processes } = environment
  const { promise, resolve } = Promise.withResolvers<Probed>()
  let output = ''
  const child = processes.spawn({
    module: probeModule ?? new URL('./device-probe.ts', import.meta.url).href,
    argument: { device },
    onOutput(text) {
      if (output.length < OUTPUT_LENGTH_MAX) output += text
    },
    onExit(exit) {
      cancel()
      const result = resultIn(output)
      if (result?.ok) resolve(result)
      else if (result) resolve({ ok: false, absence: explainAbsence(`${result.error}\n${output}`) })
      else resolve({ ok: false, absence: crashed(exit.processSignal ?? `code ${exit.code}`) })
    },
  })
  const cancel = clock.after(PROBE_MS_MAX, () => {
    // First: who killed it is no news of the driver.
    resolve({ ok: false, absence: hung })
    child.kill('SIGKILL')
  })
  return promise
}

const hung: Absence = {
  reason: `it did not answer within ${PROBE_MS_MAX / 1_000} s`,
  advice: 'its driver hangs: restart it, or the machine',
}

function crashed(how: string): Absence {
  return {
    reason: `the process that tried it ended with ${how}`,
    advice: 'its driver crashes: update it',
  }
}

function resultIn(output: string): ProbeResult | undefined {
  const line = output.split('\n').findLast((text) => text.startsWith(PROBE_MARK))
  return line === undefined ? undefined : (JSON.parse(line.slice(PROBE_MARK.length)) as ProbeResult)
}

/** A device that a run asked for is not there. */
export class DeviceUnavailableError extends Error {
  override readonly name = 'DeviceUnavailableError'
}

/** Throws `DeviceUnavailableError` with the reason of the first that is not there. The CPU is. */
export async function checkDevices(names: string, options: ListDevicesOptions): Promise<void> {
  const tried = parseDevices(names).filter((name) => parseDevice(name).provider !== 'cpu')
  const states = await Promise.all(tried.map((name) => deviceState(name, options)))
  const missing = states.find(({ isAvailable }) => !isAvailable)
  if (!missing) return
  const { device, details, advice } = missing
  throw new DeviceUnavailableError(`device ${device}: ${details}; ${advice} (see troupe devices)`)
}

/** What the pool needs to know: a device that is no CPU belongs to one process. */
export function deviceOptionsOf(names: string, policy: DevicePolicy): Required<DeviceOptions> {
  const choices = parseDevices(names)
  return { choices, exclusive: choices.filter(isExclusive), policy }
}

/** Errors carry the names of their classes across threads and processes. */
const faultNames = /\b(DeviceError|DeadlineError): /

/** Whether a worker process that ends with this cause ends because of its device. */
export function isDeviceFault(cause: string): boolean {
  return faultNames.test(cause)
}
