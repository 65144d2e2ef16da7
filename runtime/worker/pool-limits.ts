// How long a pool waits for its workers, and when it gives up.
import { type DeviceLimits, deviceLimits } from './devices.ts'

export interface PoolLimits extends DeviceLimits {
  /** From spawn to ready. */
  readonly startMsMax: number
  /** Lives in a row that ended before they were ready: another would end alike. */
  readonly startFailuresMax: number
  /** `stop`: until SIGTERM, and from there until SIGKILL. */
  readonly drainMsMax: number
  readonly termMsMax: number
  /** A process whose link is lost may still be ending by itself. */
  readonly lostMsMax: number
  /** After its last words: a driver that hangs can keep a process from exiting. */
  readonly failingMsMax: number
  /** A process that was ready for so long restarts without delay. */
  readonly healthyMsMin: number
  readonly restartDelayMs: number
  readonly restartDelayMsMax: number
}

export const poolLimits: PoolLimits = {
  ...deviceLimits,
  startMsMax: 60_000,
  startFailuresMax: 5,
  drainMsMax: 5_000,
  termMsMax: 2_000,
  lostMsMax: 100,
  failingMsMax: 2_000,
  healthyMsMin: 1_000,
  restartDelayMs: 100,
  restartDelayMsMax: 10_000,
}
