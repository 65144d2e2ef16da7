// Shapes of matrix products and of recurrent layers.
import { type Extent, GraphError, integerOf, type Node, textOf } from '../graph.ts'
import { broadcastShapes } from './elementwise.ts'
import type { OutputsRules, Shape, ShapeRules } from './rule.ts'

export const matrixShapes: ShapeRules = {
  MatMul: (node, [a = [], b = []]) => {
    if (a.length === 0 || b.length === 0) {
      throw new GraphError(`${node.name}: MatMul of a single number`)
    }
    const [left, right] = [a.length === 1 ? [1, ...a] : a, b.length === 1 ? [...b, 1] : b]
    const batch = broadcastShapes(left.slice(0, -2), right.slice(0, -2), node.name)
    const rows = a.length === 1 ? [] : [left.at(-2) ?? 1]
    const columns = b.length === 1 ? [] : [right.at(-1) ?? 1]
    return [...batch, ...rows, ...columns]
  },
  Gemm: (node, [a = [], b = []]) => [
    (integerOf(node, 'transA', 0) ? a[1] : a[0]) ?? 1,
    (integerOf(node, 'transB', 0) ? b[0] : b[1]) ?? 1,
  ],
  Einsum: (node, inputs) => {
    const { operands, result } = subscriptsOf(node, inputs)
    const extents = new Map<string, Extent>()
    operands.forEach((letters, at) => {
      ;[...letters].forEach((letter, axis) => {
        const extent = inputs[at]?.[axis] ?? 1
        if (!extents.has(letter) || extents.get(letter) === 1) extents.set(letter, extent)
      })
    })
    return [...result].map((letter) => extents.get(letter) ?? 1)
  },
}

/** Of LSTM, GRU and RNN: every step's output, then the last of each state. */
const recurrent = (node: Node, [x = [], , r = []]: readonly Shape[]): Shape[] => {
  const [steps = 1, batch = 1] = x
  const [directions = 1, , hidden = 1] = r
  const last = [directions, batch, hidden]
  if (integerOf(node, 'layout', 0) !== 0) {
    throw new GraphError(`${node.name}: layout 1 (batch first) is not supported`)
  }
  return [[steps, directions, batch, hidden], last, last]
}

export const matrixOutputs: OutputsRules = { LSTM: recurrent, GRU: recurrent, RNN: recurrent }

export interface Subscripts {
  /** A letter per axis of each operand, the ellipsis as letters too. */
  readonly operands: readonly string[]
  readonly result: string
}

/** The equation of an Einsum node with every axis named. */
export function subscriptsOf(node: Node, inputs: readonly Shape[]): Subscripts {
  const [left = '', right] = textOf(node, 'equation', '').replaceAll(' ', '').split('->')
  const terms = left.split(',')
  const free = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZ'].filter((letter) => !left.includes(letter))
  const open = (term: string, rank: number) => rank - term.replace('...', '').length
  const width = Math.max(
    0,
    ...terms.map((term, at) => (term.includes('...') ? open(term, inputs[at]?.length ?? 0) : 0)),
  )
  const hidden = free.slice(0, width).join('')
  const operands = terms.map((term, at) => {
    const rank = inputs[at]?.length ?? 0
    const letters = term.replace('...', hidden.slice(width - open(term, rank)))
    if (letters.length === rank) return letters
    throw new GraphError(`${node.name}: ${term} does not name the ${rank} axes of its operand`)
  })
  return { operands, result: right?.replace('...', hidden) ?? implied(left, hidden) }
}

/** Without an arrow: the ellipsis, then every letter that occurs once, in alphabetical order. */
function implied(left: string, hidden: string): string {
  const letters = [...left.replaceAll('...', '').replaceAll(',', '')]
  const once = letters.filter((letter) => letters.indexOf(letter) === letters.lastIndexOf(letter))
  return hidden + once.sort().join('')
}
