// Everything that members on Bun and on Deno must both do.
import type { Group } from './cases.ts'
import { connections } from './connection.ts'

export const suite: readonly Group[] = [connections]
