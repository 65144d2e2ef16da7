// Gradients of normalisations over batches, channels and neighbours.
import type { GradientRules } from '../rule.ts'

export const normalisationRules: GradientRules = {}
