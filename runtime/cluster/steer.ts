// One actor of any member, steered from here: stopped, drained, restarted or crashed.
import type { Address } from '../../protocol/address.ts'
import { SPAWNER_NAME } from '../spawner.ts'
import type { System } from '../system.ts'
import { type ActorVerb, WORKER_NAME, type WorkerMessage } from '../worker/assignment.ts'

/** The runtime needs it: without it the member could not be steered at all. */
export class ProtectedActorError extends Error {
  override readonly name = 'ProtectedActorError'
}

const ANSWER_MS_MAX = 5_000

/** 'stopped': there is no such actor. Rejects as `ask` does where its member does not answer. */
export async function steerActor(
  system: System,
  { member, path }: Address,
  verb: ActorVerb,
): Promise<'accepted' | 'stopped'> {
  if (isProtected(path)) throw new ProtectedActorError(`${member}${path} is the runtime's own`)
  if (member === system.member) return steerHere(system, path, verb)
  const worker = system.ref<WorkerMessage>({ member, path: `/${WORKER_NAME}` })
  return await system.ask(worker, { type: 'actor', path, verb }, { timeoutMs: ANSWER_MS_MAX })
}

export function steerHere(system: System, path: string, verb: ActorVerb): 'accepted' | 'stopped' {
  if (isProtected(path)) return 'stopped'
  const ref = system.ref<never>({ member: system.member, path })
  const result = steered(system, ref, verb)
  return result === 'accepted' ? 'accepted' : 'stopped'
}

function steered(system: System, ref: Parameters<System['stopActor']>[0], verb: ActorVerb) {
  switch (verb) {
    case 'stop':
      return system.stopActor(ref)
    case 'drain':
      return system.drainActor(ref)
    case 'restart':
      return system.restartActor(ref)
    case 'crash':
      return system.crashActor(ref, 'killed on request')
  }
}

function isProtected(path: string): boolean {
  const [, root = ''] = path.split('/')
  return root === SPAWNER_NAME || root === WORKER_NAME || /^pool-\d+$/.test(root)
}
