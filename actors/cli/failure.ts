// What a person sees when a command fails: one line that says what to do, and an exit status.

import { PolicyError } from '../../models/optimizers/index.ts'
import { ChaosPlanError } from '../chaos-plan.ts'
import { OptionError } from '../speech-options.ts'
import { RunStoppedError } from '../speech-run.ts'
import { UsageError } from './options.ts'

const usageErrors = [UsageError, OptionError, PolicyError, ChaosPlanError]

/** 2: the command line is wrong; 130: stopped by Ctrl-C; 1: everything else. */
export function reportFailure(error: unknown): number {
  const text = error instanceof Error ? error.message : String(error)
  // What a compute thread threw comes with the name of its class in front.
  const message = text.replace(/^\w+Error: /, '')
  console.error(`troupe: ${message.split('\n')[0]}`)
  if (process.env.TROUPE_DEBUG && error instanceof Error) console.error(error.stack)
  if (error instanceof RunStoppedError) return 130
  return usageErrors.some((kind) => error instanceof kind) ? 2 : 1
}
