// What a person sees when a command fails: one line that says what to do, and an exit status.

import { PolicyError } from '../../models/optimizers/index.ts'
import { ChaosPlanError } from '../chaos-plan.ts'
import { OptionError } from '../run/options.ts'
import { RunStoppedError } from '../run/world.ts'
import { UsageError } from './options.ts'

export interface Failure {
  readonly line: string
  /** 2: the command line is wrong; 130: stopped by Ctrl-C; 1: everything else. */
  readonly status: 1 | 2 | 130
}

const usageErrors = [UsageError, OptionError, PolicyError, ChaosPlanError]

export function describeFailure(error: unknown): Failure {
  const text = error instanceof Error ? error.message : String(error)
  // What came from another thread or process carries the names of its error classes.
  const [message = ''] = text.replace(/\b[A-Z]\w*Error: /g, '').split('\n')
  if (error instanceof RunStoppedError) return { line: `troupe: ${message}`, status: 130 }
  if (!usageErrors.some((kind) => error instanceof kind)) {
    return { line: `troupe: ${message}`, status: 1 }
  }
  const named = asOption(message)
  const help = named.includes('--help') ? '' : ' (--help explains)'
  return { line: `troupe: ${named}${help}`, status: 2 }
}

/** 'batchFrames: ...' was written for scripts; on the command line it is '--batch-frames: ...'. */
function asOption(message: string): string {
  return message.replace(/^([a-z][A-Za-z-]*): /, (_, name: string) => {
    const kebab = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
    return `--${kebab}: `
  })
}

/** Says it on standard error; the stack too where TROUPE_DEBUG is set. */
export function reportFailure(error: unknown): number {
  const { line, status } = describeFailure(error)
  console.error(line)
  if (process.env.TROUPE_DEBUG && error instanceof Error) console.error(error.stack)
  return status
}
