// Figures of an earlier run on a machine of this kind, with the harness of actor-ts. actor-ts is in no
// registry, so it cannot be measured here; nact and XState stand here to tell how much faster this
// machine and this harness are than those of that run.
import type { Workload } from './framework.ts'

type Rates = Readonly<Record<Workload['name'], number>>

export const CITED_ON = 'November 2026, other run'

export const cited = {
  'actor-ts 0.16': {
    spawn: 223_000,
    'tell-1k': 2_200_000,
    'tell-10k': 5_500_000,
    ask: 343_000,
    'ping-pong': 1_100_000,
  },
  nact: {
    spawn: 287_000,
    'tell-1k': 660_000,
    'tell-10k': 760_000,
    ask: 281_000,
    'ping-pong': 437_000,
  },
  xstate: {
    spawn: 119_000,
    'tell-1k': 350_000,
    'tell-10k': 480_000,
    ask: 200_000,
    'ping-pong': 235_000,
  },
} as const satisfies Readonly<Record<string, Rates>>
