// W3C Trace Context (Recommendation of 2021): which cause led to an envelope, as the text of its
// `traceparent` header: version, trace id of 16 bytes, span id of 8, flags.
import type { Random } from '../protocol/random.ts'

export interface Traces {
  /** Of a new cause. Not sampled. */
  begin(): string
  /** A new span of the same trace. */
  child(trace: string): string
}

/** Ids start by chance, so those of different members differ, and then count: cheap, and never twice. */
export function createTraces(random: Random): Traces {
  const hex = (digits: number): string => {
    let text = ''
    while (text.length < digits)
      text += random
        .below(2 ** 16)
        .toString(16)
        .padStart(4, '0')
    return text.slice(0, digits)
  }
  const traceStart = hex(20)
  const spanStart = hex(4)
  let count = random.below(2 ** 32)
  const next = (): string => (++count).toString(16).padStart(12, '0')
  return {
    begin() {
      const id = next()
      return `00-${traceStart}${id}-${spanStart}${id}-00`
    },
    child: (trace) => `${trace.slice(0, 36)}${spanStart}${next()}${trace.slice(52)}`,
  }
}

export function isTraceparent(text: string): boolean {
  return /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(text)
}

export function isSampled(trace: string): boolean {
  return trace.length === 55 && trace.charCodeAt(54) % 2 === 1
}

/** The same trace, to be recorded by whoever it reaches. */
export function sampled(trace: string): string {
  return `${trace.slice(0, 53)}01`
}
