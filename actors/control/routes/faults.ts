// Faults for a run under way, to see it survive them; only where they were allowed at the start.
import { Done, Fault } from '../../../protocol/control.ts'
import { injectFault } from '../../../runtime/index.ts'
import { atMost, Hono, reads, refuse, says } from '../http.ts'
import type { Plane, RunBook } from '../plane.ts'
import { currentBook } from './runs.ts'

const BODY_BYTES_MAX = 4 << 10

export const faultRoutes = (plane: Plane) =>
  new Hono().post(
    '/faults',
    says('Inject a fault', Done, { problems: [401, 403, 404, 409, 422] }),
    atMost(BODY_BYTES_MAX),
    reads('json', Fault),
    async (c) => {
      if (!plane.allowFaults) {
        refuse(403, 'faults-forbidden', 'Faults are not allowed here', 'start with --allow-faults')
      }
      const fault = c.req.valid('json')
      const book = currentBook(plane)
      const names = ['control', ...book.run.members().map(({ name }) => name)]
      for (const name of [fault.target, ...(fault.peer === undefined ? [] : [fault.peer])]) {
        if (!names.includes(name)) unknownMember(name, names)
      }
      await strike(book, fault)
      return c.json({ done: `${fault.fault} ${fault.target}` })
    },
  )

async function strike(
  { run }: RunBook,
  { target, fault, peer, ms, durationMs }: Fault,
): Promise<void> {
  if (fault !== 'delay' && fault !== 'partition') return await run.fault(target, fault)
  const { system } = run
  if (!system) return unknownMember(target, [])
  const answer = await injectFault(system, {
    from: target,
    ...(peer !== undefined && { to: peer }),
    fault: fault === 'delay' ? { type: 'delay', ms } : { type: 'partition' },
    durationMs,
  })
  if (answer === 'accepted') return
  const why = answer === 'forbidden' ? 'its process was started without faults' : 'it is not there'
  refuse(409, 'not-possible', 'The fault cannot be injected', `${target}: ${why}`)
}

function unknownMember(name: string, names: readonly string[]): never {
  const detail = `no ${name}; there is ${names.join(', ') || 'none yet'}`
  return refuse(404, 'unknown-member', 'There is no such member', detail)
}
