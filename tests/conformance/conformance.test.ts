import { describe, test } from 'bun:test'
import { CASE_MS_MAX } from './cases.ts'
import { suite } from './suite.ts'

for (const { name, cases } of suite) {
  describe(name, () => {
    for (const [title, run] of cases) test(title, run, CASE_MS_MAX)
  })
}
