// The gradient of Einsum is an Einsum: the result's gradient and the other operands, summed over what the
// wanted operand does not have.
import type { Handle } from '../../builder.ts'
import { GraphError } from '../../graph.ts'
import { subscriptsOf } from '../../shapes/matrix.ts'
import type { GradientRules } from '../rule.ts'

export const einsumRules: GradientRules = {
  Einsum(b, { node, grad, inputs, isWanted }) {
    const values = inputs.filter((input): input is Handle => input !== undefined)
    const shapes = values.map(({ shape }) => shape)
    const { operands, result } = subscriptsOf(node, shapes)
    return values.map((x, index) => {
      if (!isWanted(index)) return undefined
      const wanted = operands[index] ?? ''
      if (new Set(wanted).size < wanted.length) {
        throw new GraphError(
          `node ${node.name}: Einsum over a diagonal (${wanted}) has no gradient`,
        )
      }
      const others = values.filter((_, at) => at !== index)
      const terms = [result, ...operands.filter((_, at) => at !== index)]
      // An axis that only this operand has was summed: every element of it gets the same.
      const alone = [...wanted].filter((letter) => !terms.some((term) => term.includes(letter)))
      const ones = alone.map((letter) => {
        const extent = b.node('Shape', [x], { dtype: 'int64' })
        const at = b.integers([wanted.indexOf(letter)])
        const length = b.node('Gather', [extent, at], { dtype: 'int64' })
        const shape = [x.shape[wanted.indexOf(letter)] ?? 1]
        return b.node('Expand', [b.constant([1], []), length], { shape })
      })
      const equation = `${[...terms, ...alone].join(',')}->${wanted}`
      const attributes = { equation: { type: 'text', value: equation } } as const
      return b.node('Einsum', [grad, ...others, ...ones], { attributes, shape: x.shape })
    })
  },
}
