// Arithmetic on extents, some of which are symbols: a product is a number and its symbols, 'N*S*4'; a sum
// is one symbol, '(N+1)'.
import type { Extent } from '../graph.ts'

interface Product {
  readonly count: number
  readonly symbols: readonly string[]
}

function factorsOf(extent: Extent): Product {
  if (typeof extent === 'number') return { count: extent, symbols: [] }
  const factors = extent.split(/\*(?![^(]*\))/)
  const counts = factors.filter((factor) => factor !== '' && Number.isFinite(Number(factor)))
  return {
    count: counts.reduce((all, count) => all * Number(count), 1),
    symbols: factors.filter((factor) => !counts.includes(factor)),
  }
}

function written({ count, symbols }: Product): Extent {
  if (symbols.length === 0 || count === 0) return count
  return [...symbols].sort().join('*') + (count === 1 ? '' : `*${count}`)
}

export function productOf(extents: readonly Extent[]): Extent {
  const factors = extents.map(factorsOf)
  return written({
    count: factors.reduce((all, { count }) => all * count, 1),
    symbols: factors.flatMap(({ symbols }) => symbols),
  })
}

/** undefined where a symbol of the divisor is none of the dividend's. */
export function quotientOf(dividend: Extent, divisor: Extent): Extent | undefined {
  const [a, b] = [factorsOf(dividend), factorsOf(divisor)]
  if (b.count === 0) return undefined
  const symbols = [...a.symbols]
  for (const symbol of b.symbols) {
    const at = symbols.indexOf(symbol)
    if (at < 0) return undefined
    symbols.splice(at, 1)
  }
  return written({ count: a.count / b.count, symbols })
}

export function sumOf(extents: readonly Extent[]): Extent {
  const numbers = extents.filter((extent) => typeof extent === 'number')
  const total = numbers.reduce<number>((a, b) => a + b, 0)
  const symbols = extents.filter((extent) => typeof extent === 'string')
  const terms = total === 0 ? symbols : [...symbols, total]
  if (symbols.length === 0) return total
  return terms.length === 1 ? (terms[0] ?? 0) : `(${terms.join('+')})`
}
