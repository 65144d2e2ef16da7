// What is listed of probes that answer, refuse, crash and hang: processes in memory, virtual time.
import { expect, test } from 'bun:test'
import { deviceTable } from '../../actors/cli/device-table.ts'
import {
  checkDevices,
  DeviceUnavailableError,
  deviceOptionsOf,
  type DeviceState,
  isDeviceFault,
  listDevices,
  PROBE_MARK,
} from '../../actors/devices.ts'
import { speechNetwork } from '../../actors/speech/network.ts'
import { initialise } from '../../models/parameters.ts'
import { randomFor } from '../../protocol/random.ts'
import { realEnvironment } from '../../runtime/environment-real.ts'
import type { Exit, ProcessOptions } from '../../runtime/environment.ts'
import { virtualClock } from '../../runtime/simulation/virtual-clock.ts'

type Behaviour =
  | { readonly prints?: string; readonly exit?: Partial<Exit>; readonly hangs?: boolean }
  | undefined

const works = { prints: `noise\n${PROBE_MARK}{"ok":true,"details":"answered in 5 ms"}\n` }
const fails = (error: string, noise = '') => ({
  prints: `${noise}\n${PROBE_MARK}${JSON.stringify({ ok: false, error })}\n`,
})

/** A machine whose devices behave as said; the others have no provider. */
function machine(devices: Readonly<Record<string, Behaviour>>) {
  const clock = virtualClock()
  const tried: string[] = []
  const killed: string[] = []
  const spawn = ({ argument, onExit, onOutput }: ProcessOptions) => {
    const { device } = argument as { device: string }
    tried.push(device)
    const behaviour: NonNullable<Behaviour> =
      devices[device] ?? fails(`ERR: [${device}] backend not found.`)
    if (!behaviour.hangs) {
      clock.after(10, () => {
        onOutput?.(behaviour.prints ?? '')
        onExit({ code: 0, processSignal: null, ...behaviour.exit })
      })
    }
    return {
      id: tried.length,
      kill(signal: string) {
        killed.push(`${device} ${signal}`)
        onExit({ code: null, processSignal: signal })
      },
    }
  }
  const processes = { spawn, self: 'here', isAlive: () => true }
  const options = { environment: { clock, processes }, platform: 'linux/x64' }
  const settled = async <T>(promise: Promise<T>): Promise<T> => {
    promise.catch(() => {})
    await clock.advance(61_000)
    return await promise
  }
  return { options, tried, killed, settled }
}

test('numbered devices are listed as far as they work, and one row says why there is none', async () => {
  const { options, tried, settled } = machine({
    cpu: works,
    'cuda:0': works,
    'cuda:1': works,
    'tensorrt:0': fails(
      'OrtSessionOptionsAppendExecutionProvider_TensorRT: Failed to load shared library',
      'Failed to load library a.so with error: libnvinfer.so.10: cannot open shared object file',
    ),
    webgpu: { exit: { code: null, processSignal: 'SIGSEGV' } },
  })
  const states = await settled(listDevices(options))
  const rows = states.map(({ device, isAvailable, details }) => [device, isAvailable, details])
  expect(rows).toEqual([
    ['cpu', true, 'answered in 5 ms'],
    ['cuda:0', true, 'answered in 5 ms'],
    ['cuda:1', true, 'answered in 5 ms'],
    ['tensorrt:0', false, 'libnvinfer.so.10 is missing'],
    ['webgpu', false, 'the process that tried it ended with SIGSEGV'],
    ['dml:0', false, 'only on Windows'],
    ['coreml', false, 'only on macOS'],
  ])
  expect(tried).toContain('cuda:2')
  expect(tried).not.toContain('dml:0')
  for (const { isAvailable, advice } of states) expect(advice !== undefined).toBe(!isAvailable)
})

test('a provider that hangs is killed at its deadline, and holds up no other', async () => {
  const { options, killed, settled } = machine({ cpu: works, webgpu: { hangs: true } })
  const states = await settled(listDevices(options))
  expect(states.find(({ device }) => device === 'webgpu')?.details).toBe(
    'it did not answer within 60 s',
  )
  expect(states[0]?.isAvailable).toBe(true)
  expect(killed).toEqual(['webgpu SIGKILL'])
})

test('a probe that answered may die in any way', async () => {
  const { options, settled } = machine({ cpu: { ...works, exit: { code: 139 } } })
  expect((await settled(listDevices(options)))[0]?.isAvailable).toBe(true)
})

test('a run is refused with the reason of the first device that is not there; the CPU is not tried', async () => {
  const { options, tried, settled } = machine({ 'cuda:1': works })
  await settled(checkDevices('cpu,cuda:1', options))
  expect(tried).toEqual(['cuda:1'])
  const refused = settled(checkDevices('cuda:1,webgpu,cpu', options))
  expect(refused).rejects.toThrow(DeviceUnavailableError)
  expect(refused).rejects.toThrow(
    /^device webgpu: its provider is not in the package; bun pm trust/,
  )
  await refused.catch(() => {})
})

test('on this machine the CPU works, tried in a process of its own', async () => {
  const states = await listDevices({ environment: realEnvironment({ seed: 1 }) })
  expect(states[0]).toMatchObject({ device: 'cpu', isAvailable: true })
  console.log(deviceTable(states))
}, 120_000)

const others = (await listDevices({ environment: realEnvironment({ seed: 1 }) })).filter(
  ({ device, isAvailable }) => isAvailable && device !== 'cpu',
)

test.skipIf(others.length === 0)(
  'gradients on every device of this machine are those of the CPU',
  async () => {
    const shape = { inputs: 20, hidden: [16, 16], outputs: 9 }
    const rows = 50
    const gradientOn = async (device: string) => {
      const random = randomFor('features')
      const { clock } = realEnvironment({ seed: 1 })
      const network = speechNetwork(shape, { threads: 1, clock, device })
      const gradient = new Float32Array(network.layout.count)
      await network.crossEntropy({
        parameters: initialise(network.layout, randomFor('parameters')),
        gradient,
        features: Float32Array.from({ length: rows * shape.inputs }, () => random.normal()),
        targets: Int32Array.from({ length: rows }, () => random.below(shape.outputs)),
      })
      return gradient
    }
    const onCpu = await gradientOn('cpu')
    const scale = Math.max(...onCpu.map(Math.abs))
    for (const { device } of others) {
      const there = await gradientOn(device)
      const worst = Math.max(...there.map((value, i) => Math.abs(value - onCpu[i]!))) / scale
      console.log(
        `${device}: largest difference ${worst.toExponential(1)} of the largest derivative`,
      )
      expect(worst).toBeLessThan(1e-4)
    }
  },
  120_000,
)

test('the table has 80 columns', () => {
  const states: DeviceState[] = [
    { device: 'cpu', isAvailable: true, details: '2 cores' },
    { device: 'cuda:0', isAvailable: false, details: 'word '.repeat(40).trim(), advice: 'look' },
  ]
  const lines = deviceTable(states).split('\n')
  expect(lines.slice(0, 3)).toEqual([
    'device      available  details',
    'cpu         yes        2 cores',
    `cuda:0      no         ${'word '.repeat(11).trim()}`,
  ])
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(80)
})

test('all but the CPU belong to one process; faults are known by the names of their errors', () => {
  expect(deviceOptionsOf('cuda,cpu,webgpu', 'next')).toEqual({
    choices: ['cuda:0', 'cpu', 'webgpu'],
    exclusive: ['cuda:0', 'webgpu'],
    policy: 'next',
  })
  expect(isDeviceFault('/trainer: ComputeError: DeviceError: cuda:0 is lost: forward')).toBe(true)
  expect(isDeviceFault('/trainer: DeadlineError: no step within 5 ms')).toBe(true)
  expect(isDeviceFault('/trainer: ComputeError: SessionError: a missing input')).toBe(false)
})
