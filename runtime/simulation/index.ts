// The public surface of the test kit: `troupe/testing`.
export { type SimulatedDisk, type SimulatedDiskOptions, simulatedDisk } from './disk.ts'
export { type FaultOptions, type Faults, InjectedFault } from './faults.ts'
export {
  createTestKit,
  type KitEvent,
  type MemberOptions,
  type TestKit,
  type TestKitOptions,
} from './kit.ts'
export {
  createNetwork,
  type NetworkFaults,
  type NetworkOptions,
  type NetworkPort,
  type PathOptions,
  type SimulatedNetwork,
} from './network.ts'
export { ExpectationError, type Expected, type Probe } from './probe.ts'
export type { SimulatedProcess } from './process.ts'
export type { ProcessSignal, Program, SimulatedProcesses } from './processes.ts'
export {
  type Simulation,
  SimulationError,
  type SimulationOptions,
  simulate,
} from './simulate.ts'
export { type VirtualClock, virtualClock } from './virtual-clock.ts'
export { createWorld, type World, type WorldOptions } from './world.ts'
