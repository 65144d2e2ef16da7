// Steers a run from outside: a control plane beside it, and the typed client that any script may use.
// bun examples/steer-run.ts path/to/recordings
import { launch, speech } from 'troupe'
import { answerOf, client, events } from 'troupe/client'

const data = process.argv[2] ?? 'recordings'
await using run = await launch({ task: speech({ data }), control: { port: 0 } })
const [url = '', token = ''] = (run.pageUrl ?? '').split('/#token=')
console.log(`watch it at ${run.pageUrl}`)

const api = client(url, { token })
let isKilled = false
for await (const event of events(url, { after: 0, types: ['progress', 'recovered'] })) {
  if (event.type === 'progress' && event.phase === 'cross-entropy' && !isKilled) {
    isKilled = true
    await answerOf(api.workers[':id'].kill.$post({ param: { id: 'shard-0' } }))
  }
  if (event.type === 'recovered') {
    const { id } = await answerOf(api.workers.$post())
    const json = { policy: 'staleness-aware' }
    await answerOf(api.runs[':id'].$patch({ param: { id: run.id }, json }))
    console.log(`${event.actor} was killed and is back; ${id} was added, and the policy changed`)
    break
  }
}
console.log((await run.done).errorRate.final)
