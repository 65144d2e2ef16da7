// What a worker process runs: every kind of actor that the control process may start in it.
import { runWorker } from '../runtime/index.ts'
import { isDeviceFault } from './devices.ts'
import { imageSubnetwork } from './image-subnetwork.ts'
import { predictPart } from './image/predict/part.ts'
import { latticeWorker } from './lattice-worker.ts'
import { parameterShard } from './parameter-shard.ts'
import { imageTrainer, modelTrainer, sequenceTrainer } from './trainer.ts'

const speechCompute = new URL('./speech/compute-thread.ts', import.meta.url).href
const modelCompute = new URL('./model/compute-thread.ts', import.meta.url).href
const imageCompute = new URL('./image/compute-thread.ts', import.meta.url).href
const pipelineCompute = new URL('./image/pipeline/thread.ts', import.meta.url).href
const predictCompute = new URL('./image/predict/thread.ts', import.meta.url).href

await runWorker({
  definitions: [
    parameterShard,
    sequenceTrainer(speechCompute),
    latticeWorker(speechCompute),
    imageTrainer(imageCompute),
    modelTrainer(modelCompute),
    imageSubnetwork(pipelineCompute),
    predictPart(predictCompute),
  ],
  isDeviceFault,
})
