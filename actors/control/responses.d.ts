import type { Problem } from '../../protocol/control.ts'

export declare class ProblemError extends Error implements Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail?: string
  constructor(problem: Problem)
}

export declare function problemOf(response: Response): Promise<ProblemError>

export interface SentEvent {
  readonly id?: string
  readonly type: string
  readonly data: string
}

export declare function parseEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<SentEvent>
