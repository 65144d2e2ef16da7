import { expect, test } from 'bun:test'
import { formatCtm } from '../../../actors/cli/ctm.ts'

test('CTM has a line a word with start and duration in seconds, none for silence', () => {
  const times = [
    { word: 'one', start: 0.1, duration: 0.456 },
    { word: 'two', start: 0.7, duration: 0.3 },
  ]
  const rest = { words: [], reference: [] }
  expect(
    formatCtm([
      { id: 'a', times, ...rest },
      { id: 'b', times: [], ...rest },
    ]),
  ).toBe('a 1 0.10 0.46 one\na 1 0.70 0.30 two\n')
  expect(formatCtm([])).toBe('')
})
