// The module of a compute thread for speech: training, decoding, preparation, in trainers and control.
import { realEnvironment, serveCompute } from '../../runtime/index.ts'
import { speechCompute } from './compute.ts'
import { speechDecoding } from './decoding.ts'
import { speechLooking } from './insight-compute.ts'
import { speechPreparation } from './preparation.ts'

const world = realEnvironment({ seed: 0 })
serveCompute({
  ...speechCompute(world),
  ...speechDecoding(world),
  ...speechPreparation(world),
  ...speechLooking(world),
})
