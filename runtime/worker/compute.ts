import type { ComputeThread } from '../environment.ts'

export type ComputeMethods = Readonly<Record<string, (argument: never) => unknown>>

/** Called by the module of a compute thread; calls are served one at a time, in order. */
export declare function serveCompute(methods: ComputeMethods): void

export declare function computeThread(worker: Worker): ComputeThread
