import type { Environment } from './environment.ts'

export interface RealEnvironmentOptions {
  readonly seed: string | number
}

export declare function realEnvironment(options: RealEnvironmentOptions): Environment
