// Gradients of convolutions.
import type { GradientRules } from '../rule.ts'

export const convolutionRules: GradientRules = {}
