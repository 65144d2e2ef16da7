// Everything that members on Bun and on Deno must both do.
import type { Group } from './cases.ts'
import { clusters } from './cluster.ts'
import { codec } from './codec.ts'
import { computeThreads } from './compute.ts'
import { connections } from './connection.ts'
import { disks } from './disk.ts'
import { processTable } from './processes.ts'
import { sessions } from './session.ts'
import { workers } from './workers.ts'

export const suite: readonly Group[] = [
  codec,
  connections,
  disks,
  processTable,
  computeThreads,
  sessions,
  clusters,
  ...workers,
]
