// A trainer's side of push and pull: one vector in the trainer, many shards behind it. A shard that
// dies is waited for; what was not acknowledged is sent again, and the shard refuses what it has.

import { assert } from '../protocol/assert.ts'
import { alignedFloat32 } from '../protocol/tensor.ts'
import type { EncodedGradient, Pushed, ShardMessage, Versions } from '../protocol/training.ts'
import type { Ask, Ref } from '../runtime/actor.ts'
import { AskError } from '../runtime/actor.ts'
import type { Clock } from '../runtime/environment.ts'

export interface ShardRange {
  readonly ref: Ref<ShardMessage>
  /** In elements of the flat parameter vector. */
  readonly offset: number
  readonly length: number
}

/** A trainer's copy of the parameters and the version of each shard it holds. */
export interface ParameterCopy {
  readonly values: Float32Array
  readonly versions: number[]
}

export interface PushedStep {
  readonly trainer: string
  readonly incarnation: number
  readonly phase: number
  readonly sequence: number
  readonly weight: number
  /** Per shard. */
  readonly versions: readonly Versions[]
  /** Per shard. */
  readonly gradients: readonly EncodedGradient[]
}

export interface ParameterClient {
  readonly shards: readonly ShardRange[]
  /** Brings the copy up to date; a shard that has nothing newer sends nothing. */
  pull(copy: ParameterCopy): Promise<void>
  /** One answer per shard, when every shard has answered. */
  push(step: PushedStep): Promise<readonly Pushed[]>
}

export interface PatienceLimits {
  /** One ask; a push held by hard-sync or SSP waits this long before it is sent again. */
  readonly askTimeoutMs: number
  readonly retryDelayMs: number
  readonly retriesMax: number
}

export const patience: PatienceLimits = {
  askTimeoutMs: 20_000,
  retryDelayMs: 10,
  retriesMax: 3_000,
}

export function parameterClient(
  shards: readonly ShardRange[],
  world: { ask: Ask; clock: Clock },
  limits: PatienceLimits = patience,
): ParameterClient {
  return {
    shards,
    async pull(copy) {
      await Promise.all(
        shards.map(async ({ ref, offset, length }, index) => {
          const have = copy.versions[index] ?? -1
          const pulled = await patiently(world.clock, limits, () =>
            world.ask(
              ref,
              { type: 'pull', have, copy: 'live' },
              { timeoutMs: limits.askTimeoutMs },
            ),
          )
          if (pulled.parameters) {
            const fresh = alignedFloat32(pulled.parameters.bytes)
            assert(fresh.length === length, 'a shard sends exactly its range')
            copy.values.set(fresh, offset)
          }
          copy.versions[index] = pulled.version
        }),
      )
    },
    push({ versions, gradients, ...step }) {
      return Promise.all(
        shards.map(({ ref }, index) => {
          const gradient = gradients[index]
          const seen = versions[index]
          assert(gradient !== undefined && seen !== undefined, 'a gradient and versions per shard')
          const push = { ...step, versions: seen, gradient }
          return patiently(world.clock, limits, () =>
            world.ask(ref, { type: 'push', push }, { timeoutMs: limits.askTimeoutMs }),
          )
        }),
      )
    },
  }
}

/** Asks again while the failure may pass; the last failure is thrown. */
export async function patiently<T>(
  clock: Clock,
  limits: PatienceLimits,
  ask: () => Promise<T>,
): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof AskError) || !error.retryable || tries >= limits.retriesMax)
        throw error
      await new Promise<void>((resolve) => clock.after(limits.retryDelayMs, resolve))
    }
  }
}
