// One rule per operator: from the gradient of its output to the gradients of its inputs, as further
// nodes of the same graph. Standard operators only, so any provider of ONNX Runtime can run it.
import type { GradientRules } from './rule.ts'
import { arrangementRules } from './rules/arrangement.ts'
import { choiceRules } from './rules/choices.ts'
import { convolutionRules } from './rules/convolution.ts'
import { einsumRules } from './rules/einsum.ts'
import { elementwiseRules } from './rules/elementwise.ts'
import { functionRules } from './rules/functions.ts'
import { lossRules } from './rules/losses.ts'
import { matrixRules } from './rules/matrix.ts'
import { normalisationRules } from './rules/normalisation.ts'
import { poolingRules } from './rules/pooling.ts'
import { reductionRules } from './rules/reduction.ts'
import { resizeRules } from './rules/resize.ts'

export const gradientRules: GradientRules = {
  ...elementwiseRules,
  ...functionRules,
  ...choiceRules,
  ...reductionRules,
  ...matrixRules,
  ...einsumRules,
  ...arrangementRules,
  ...resizeRules,
  ...convolutionRules,
  ...poolingRules,
  ...normalisationRules,
  ...lossRules,
}

/** Operators whose rule reads `grads`: more than their first output may lead to the loss. */
export const severalOutputs: ReadonlySet<string> = new Set(['Split'])
