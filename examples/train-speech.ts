// Trains a digit recogniser with four trainers and two shards, and prints everything that happens.
//   bun examples/train-speech.ts path/to/recordings
import { launch, speech } from 'troupe'

const [data = 'path/to/recordings'] = process.argv.slice(2)

await using run = await launch({
  workers: 4,
  shards: 2,
  control: { port: 7070 },
  task: speech({ data, criterion: 'bmmi' }),
})
for await (const event of run.events()) console.log(event)
console.log(await run.done) // error rates, updates, restarts, where the model lies
