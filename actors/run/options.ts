// The options that every run has, whatever it trains, and how they are checked.
import { DeviceNameError } from '../../models/devices.ts'
import type { OptimizerName } from '../../models/optimizers/index.ts'
import { parsePolicy, policyUsages } from '../../models/optimizers/staleness.ts'
import type { DeviceOptions, DevicePolicy } from '../../runtime/index.ts'
import type { ChaosFault } from '../chaos-plan.ts'
import { deviceOptionsOf } from '../devices.ts'

export interface RunOptions {
  readonly workers: number
  /** So many of them, the last ones, or all, run on Deno; the others on what runs the control process. */
  readonly deno: number
  readonly shards: number
  /** 'downpour', 'staleness-aware', 'ssp:BOUND', 'hard-sync', 'softsync:N'. */
  readonly policy: string
  readonly optimizer: OptimizerName
  /** How gradients travel: the lossy ones keep their error for the next push. */
  readonly codec: 'float32' | 'float16' | 'int8'
  readonly seed: number
  /** Of the trainers, in order of preference: 'cpu', 'cuda:0,cpu'. One process owns a GPU. */
  readonly device: string
  /** After a fault of its device a trainer starts again on the 'same', or on the 'next' it may have. */
  readonly devicePolicy: DevicePolicy
  readonly chaos: readonly ChaosFault[]
  /** Folder of the run. */
  readonly out: string
  readonly report?: string
  readonly resume: boolean
  /** A trainer whose step computes longer, in seconds, is replaced: it hangs. */
  readonly stepSeconds: number
}

export class OptionError extends Error {
  override readonly name = 'OptionError'
}

export const runDefaults = {
  workers: 2,
  deno: 0,
  shards: 2,
  policy: 'downpour',
  codec: 'float32',
  seed: 1,
  device: 'cpu',
  devicePolicy: 'same',
  resume: false,
  stepSeconds: 120,
} as const satisfies Partial<RunOptions>

type Bounds<O> = { readonly [Name in keyof O]?: readonly [low: number, high: number] }

const runBounds = {
  workers: [1, 64],
  deno: [0, 64],
  shards: [1, 64],
  seed: [0, 0xffffffff],
  stepSeconds: [1, 86_400],
} as const satisfies Bounds<RunOptions>

/** Throws `OptionError` naming the option, its value and what may be given. */
export function checkRunOptions(
  options: RunOptions,
  /** How many processes of each role there are: 'trainer', 'shard', ... */
  roles: Readonly<Record<string, number>>,
): void {
  checkBounds(options, runBounds)
  checkPolicyName(options.policy)
  checkDeviceNames(options)
  checkTargets(options, roles)
}

export function checkBounds<O extends object>(
  options: O,
  bounds: Bounds<O>,
  { fractions = [] }: { readonly fractions?: readonly (keyof O)[] } = {},
): void {
  for (const [name, [low, high]] of Object.entries(bounds) as [keyof O, [number, number]][]) {
    const value = options[name] as number
    const isWhole = Number.isInteger(value) || fractions.includes(name)
    if (value >= low && value <= high && isWhole) continue
    throw new OptionError(`${String(name)}: ${value} is out of range; give ${low} to ${high}`)
  }
}

/** Policies that read past parameters are none of the shards': a replayed journal has no past. */
const readsThePast = /^(dc-asgd|gap-aware)\b/

function checkPolicyName(policy: string): void {
  const offered = policyUsages.filter((usage) => !readsThePast.test(usage))
  const name = policy.split(':')[0]
  const isKnown = offered.some((usage) => usage.split(/[,:( ]/)[0] === name)
  if (!isKnown) throw new OptionError(`policy: '${policy}'; give one of ${offered.join(', ')}`)
  parsePolicy(policy)
}

function checkDeviceNames({ device, devicePolicy, workers }: RunOptions): void {
  const { choices, exclusive } = devicesOf(device, devicePolicy)
  if (devicePolicy === 'next' && choices.length < 2) {
    throw new OptionError(`device-policy: there is no next device; give --device ${device},OTHER`)
  }
  if (exclusive.length < choices.length || workers <= choices.length) return
  throw new OptionError(
    `device: ${workers} trainers share no GPU, and ${choices} are ${choices.length}; ` +
      `give ${workers} devices, --workers ${choices.length}, or ${device},cpu`,
  )
}

function devicesOf(device: string, policy: DevicePolicy): Required<DeviceOptions> {
  try {
    return deviceOptionsOf(device, policy)
  } catch (cause) {
    if (!(cause instanceof DeviceNameError)) throw cause
    throw new OptionError(`device: ${cause.message}`, { cause })
  }
}

function checkTargets({ chaos }: RunOptions, roles: Readonly<Record<string, number>>): void {
  for (const { fault, target } of chaos) {
    const [role = '', index = '0'] = target.split('-')
    if (Number(index) < (roles[role] ?? 0)) continue
    throw new OptionError(
      `chaos: ${fault}:${target} meets nobody: this run has ${roles[role] ?? 0} of it`,
    )
  }
}
