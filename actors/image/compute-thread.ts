// The module of a compute thread for images: training in trainers, evaluation in the control process.
import { realEnvironment, serveCompute } from '../../runtime/index.ts'
import { imageCompute } from './compute.ts'

serveCompute({ ...imageCompute(realEnvironment({ seed: 0 })) })
