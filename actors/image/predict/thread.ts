// The module of a compute thread that computes one part of a network for inference.
import { realEnvironment, serveCompute } from '../../../runtime/index.ts'
import { predictCompute } from './part-compute.ts'

serveCompute({ ...predictCompute(realEnvironment({ seed: 0 })) })
