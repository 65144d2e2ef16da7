// CTM: one word a line, `utterance channel start duration word`, times in seconds.
import type { DecodedUtterance } from '../speech/decode.ts'

export function formatCtm(utterances: readonly DecodedUtterance[]): string {
  return utterances
    .flatMap(({ id, times }) =>
      times.map(
        ({ word, start, duration }) =>
          `${id} 1 ${start.toFixed(2)} ${duration.toFixed(2)} ${word}\n`,
      ),
    )
    .join('')
}
