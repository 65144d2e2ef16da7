// The module of a compute thread of a subnetwork actor.
import { realEnvironment, serveCompute } from '../../../runtime/index.ts'
import { pipelineCompute } from './work.ts'

serveCompute({ ...pipelineCompute(realEnvironment({ seed: 0 })) })
