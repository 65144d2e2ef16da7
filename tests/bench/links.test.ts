import { expect, test } from 'bun:test'
import { linkRows, smokeSizes } from './links.ts'

test('the benchmark of links runs in its small size, and its other process ends', async () => {
  const rows = await linkRows(smokeSizes)
  expect(rows.length).toBeGreaterThan(8)
  for (const { name, value } of rows) expect(`${name} ${value > 0}`).toBe(`${name} true`)
}, 30_000)
