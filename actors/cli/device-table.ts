// Devices as a table: one row each, with why it cannot be used and what to do.
import type { DeviceState } from '../devices.ts'
import { wrap } from './lines.ts'

const COLUMNS = 80
const INDENT = 23

export function deviceTable(devices: readonly DeviceState[]): string {
  const rows = devices.flatMap(({ device, isAvailable, details, advice }) => {
    const left = `${device.padEnd(12)}${isAvailable ? 'yes' : 'no'}`
    const text = advice === undefined ? details : `${details}: ${advice}`
    return wrap(text, COLUMNS - INDENT).map(
      (line, row) => (row === 0 ? left : '').padEnd(INDENT) + line,
    )
  })
  return ['device      available  details', ...rows].join('\n')
}
