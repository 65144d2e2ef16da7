// A worker process with one trivial actor: it answers with the number of its life.
import { defineActor, type Infer, next, replyTo, runWorker, union } from '../../../runtime/index.ts'

export const LifeMessage = union({ which: { replyTo: replyTo<number>() } })
export type LifeMessage = Infer<typeof LifeMessage>

if (import.meta.main) {
  const life = defineActor({
    kind: 'life',
    protocol: LifeMessage,
    start: () => null,
    receive(state: null, { replyTo }: LifeMessage, { incarnation }) {
      replyTo.tell(incarnation)
      return next(state)
    },
  })
  await runWorker({ definitions: [life] })
}
