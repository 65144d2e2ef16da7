// Faults on the links of any member, where its process was started with leave to have them.
import type { System } from '../system.ts'
import type { LinkFault } from '../transport/gate.ts'
import { type Injection, WORKER_NAME, type WorkerMessage } from '../worker/assignment.ts'

export interface InjectedFault {
  /** On links of this member ... */
  readonly from: string
  /** ... to this one; absent: to all. */
  readonly to?: string
  readonly fault: LinkFault
  readonly durationMs: number
}

const ANSWER_MS_MAX = 5_000

export async function injectFault(
  system: System,
  { from, to, fault, durationMs }: InjectedFault,
): Promise<Injection> {
  const on = { ...(to !== undefined && { member: to }), fault, durationMs }
  if (from === system.member) return system.injectFault(on) ? 'accepted' : 'unreachable'
  const worker = system.ref<WorkerMessage>({ member: from, path: `/${WORKER_NAME}` })
  const ms = fault.type === 'delay' ? fault.ms : 0
  const request = {
    type: 'fault',
    kind: fault.type,
    ms,
    durationMs,
    ...(to !== undefined && { to }),
  } as const
  return await system.ask(worker, request, { timeoutMs: ANSWER_MS_MAX })
}
