// A compute thread that speaks: one voice a call.
import { realEnvironment, serveCompute } from '../../runtime/index.ts'
import { speakDigits, type VoicePlan } from './synthetic-digits.ts'

const { disk } = realEnvironment({ seed: 0 })
serveCompute({
  speak: ({ folder, plan, takes }: { folder: string; plan: VoicePlan; takes: number }) =>
    speakDigits(disk, folder, plan, takes),
})
