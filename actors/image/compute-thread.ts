// The module of a compute thread for images: training in trainers, evaluation in the control process.
import { realEnvironment, serveCompute } from '../../runtime/index.ts'
import { imageCompute } from './compute.ts'
import { costMeter } from './pipeline/partition-compute.ts'

const world = realEnvironment({ seed: 0 })
serveCompute({ ...imageCompute(world), ...costMeter(world) })
