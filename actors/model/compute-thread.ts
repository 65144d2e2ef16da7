// The module of a compute thread for fine-tuning: training in trainers, evaluation in the control process.
import { realEnvironment, serveCompute } from '../../runtime/index.ts'
import { modelCompute } from './compute.ts'

serveCompute({ ...modelCompute(realEnvironment({ seed: 0 })) })
