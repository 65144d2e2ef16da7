// The inspection stream as structured log lines: one JSON object each, the same fields in the same order.
import { formatAddress } from '../protocol/address.ts'
import type { InspectionEvent } from './inspect.ts'
import type { System } from './system.ts'

export type LogLevel = 'info' | 'warn' | 'error'

export interface LogLinesOptions {
  /** Less is left out. Default info. */
  readonly level?: LogLevel
}

const severity: Readonly<Record<LogLevel, number>> = { info: 0, warn: 1, error: 2 }

/** Writes what happens in the system; `write` gets lines without their end. The result ends it. */
export function logLines(
  system: System,
  write: (line: string) => void,
  { level: least = 'info' }: LogLinesOptions = {},
): () => void {
  const { member, environment } = system
  return system.inspect((event) => {
    const entry = entryOf(event)
    if (!entry || severity[entry.level] < severity[least]) return
    const time = new Date(environment.clock.wallTime()).toISOString()
    const { level, message, ...rest } = entry
    write(JSON.stringify({ time, level, member, message, ...rest }, plainValue))
  })
}

interface Entry {
  readonly level: LogLevel
  readonly message: string
  readonly [field: string]: unknown
}

/** Undefined for what is only of interest to whoever traces. */
function entryOf(event: InspectionEvent): Entry | undefined {
  switch (event.type) {
    case 'log': {
      const { level, path, trace, message, fields } = event
      return { level, message, path, ...(trace !== undefined && { trace }), fields }
    }
    case 'crashed':
    case 'escalated': {
      const { type, ...rest } = event
      return { level: 'error', message: type, ...rest }
    }
    case 'full':
    case 'dead-letter': {
      const { type, target, ...rest } = event
      return { level: 'warn', message: type, target: formatAddress(target), ...rest }
    }
    case 'restarted':
    case 'peer-refused': {
      const { type, ...rest } = event
      return { level: 'warn', message: type, ...rest }
    }
    case 'member-lost': {
      const { type, member, ...rest } = event
      return { level: 'warn', message: type, peer: member, ...rest }
    }
    case 'member-joined': {
      const { type, member, ...rest } = event
      return { level: 'info', message: type, peer: member, ...rest }
    }
    case 'spawned':
    case 'stopped': {
      const { type, ...rest } = event
      return { level: 'info', message: type, ...rest }
    }
    case 'routed':
    case 'span':
      return undefined
  }
}

function plainValue(_: string, value: unknown): unknown {
  if (value instanceof Error) return `${value.name}: ${value.message}`
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`
  return typeof value === 'bigint' ? `${value}` : value
}
