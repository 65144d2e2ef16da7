// Shapes of what slides windows over images: convolutions and pools.
import type { OutputsRule, ShapeRule } from './rule.ts'

export const windowRules: Readonly<Record<string, ShapeRule>> = {}
export const windowOutputsRules: Readonly<Record<string, OutputsRule>> = {}
