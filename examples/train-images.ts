// Trains a small GoogLeNet on folders of images with two replicas, each a pipeline of two subnetworks.
//   bun examples/train-images.ts path/to/images
import { image, launch } from 'troupe'

const [data = 'path/to/images'] = process.argv.slice(2)

await using run = await launch({
  shards: 2,
  task: image({
    data,
    network: 'googlenet-small',
    size: 32,
    replicas: 2,
    subnetworks: 2,
    epochs: 10,
  }),
})
for await (const event of run.events()) {
  if (event.type === 'accuracy') console.log(event.model, `${event.accuracy.top1.toFixed(1)} %`)
  if (event.type === 'death') console.log(event.actor, event.cause)
}
console.log(await run.done) // accuracy, updates, restarts, where the model lies
