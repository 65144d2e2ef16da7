// The conformance suite on Deno: `bun run check:deno`. One line a case, a count, and an exit status.
import process from 'node:process'
import { realEnvironment } from '../../runtime/environment-real.ts'
import { CASE_MS_MAX } from './cases.ts'
import { suite } from './suite.ts'

const { clock } = realEnvironment({ seed: 'conformance' })

async function within(ms: number, running: Promise<void>): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>()
  const stopClock = clock.after(ms, () => reject(new Error(`not done within ${ms} ms`)))
  await Promise.race([running, promise]).finally(stopClock)
}

let passed = 0
let failed = 0
process.on('unhandledRejection', (error) => {
  failed += 1
  console.log(`  ✗ beside any case: ${error instanceof Error ? error.stack : error}`)
})
for (const { name, cases } of suite) {
  console.log(name)
  for (const [title, run] of cases) {
    const begun = clock.now()
    try {
      await within(CASE_MS_MAX, run())
      passed += 1
      console.log(`  ✓ ${title} (${Math.round(clock.now() - begun)} ms)`)
    } catch (error) {
      failed += 1
      console.log(`  ✗ ${title}\n${error instanceof Error ? error.stack : error}`)
    }
  }
}
console.log(`\n${passed} pass\n${failed} fail`)
process.exit(failed === 0 ? 0 : 1)
