// What a worker process runs: every kind of actor that the control process may start in it.
import { runWorker } from '../runtime/index.ts'
import { isDeviceFault } from './devices.ts'
import { latticeWorker } from './lattice-worker.ts'
import { parameterShard } from './parameter-shard.ts'
import { imageTrainer, sequenceTrainer } from './trainer.ts'

const speechCompute = new URL('./speech/compute-thread.ts', import.meta.url).href
const imageCompute = new URL('./image/compute-thread.ts', import.meta.url).href

await runWorker({
  definitions: [
    parameterShard,
    sequenceTrainer(speechCompute),
    latticeWorker(speechCompute),
    imageTrainer(imageCompute),
  ],
  isDeviceFault,
})
