// The same run under two staleness policies, side by side: what asynchrony costs and gains here.
//   bun examples/two-policies.ts path/to/recordings
import { launch, speech } from 'troupe'

const [data = 'path/to/recordings'] = process.argv.slice(2)

for (const policy of ['hard-sync', 'downpour']) {
  await using run = await launch({ task: speech({ data, policy, out: `runs/policy-${policy}` }) })
  const { errorRate, staleness, throughput } = await run.done
  const speed = Math.round(throughput.framesPerSecond)
  console.log(`${policy}: ${errorRate.final.percent.toFixed(2)} % errors, ${speed} frames/s`)
  console.log(`  staleness: median ${staleness.p50}, p99 ${staleness.p99}`)
}
