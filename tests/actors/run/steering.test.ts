import { expect, test } from 'bun:test'
import { runIdOf } from '../../../actors/run/steering.ts'

test('ids are of the folder, fit for a URL, and unlike all others of this process', () => {
  const folders = ['a/tuned nets', 'b/tuned nets/', 'C:\\runs\\ünets?', 'x'.repeat(99)]
  const ids = folders.map(runIdOf)
  expect(ids).toEqual(['tuned-nets', 'tuned-nets-2', '-nets-', 'x'.repeat(64)])
  const nameless = ['..', '/', ''].map(runIdOf)
  for (const id of nameless) expect(id).toMatch(/^run(-\d+)?$/)
  expect(new Set(nameless).size).toBe(3)
  for (const id of ids) expect(encodeURIComponent(id)).toBe(id)
})
