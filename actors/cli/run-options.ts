// The options that every training command has.
import { runDefaults as defaults } from '../run/options.ts'
import type { OptionTable } from './options.ts'

export const SEEDS = [0, 0xffffffff] as const
export const quiet = { kind: 'flag', help: 'no progress: only errors and the result' } as const

export const runOptions = {
  workers: {
    kind: 'integer',
    range: [1, 64],
    value: 'N',
    help: 'trainer processes',
    byDefault: `${defaults.workers}`,
  },
  deno: {
    kind: 'integer',
    range: [0, 64],
    value: 'N',
    help: 'trainers that run on Deno: so many of them, or all',
    byDefault: `${defaults.deno}`,
  },
  shards: {
    kind: 'integer',
    range: [1, 64],
    value: 'N',
    help: 'parameter shards',
    byDefault: `${defaults.shards}`,
  },
  policy: {
    kind: 'text',
    value: 'NAME',
    help: 'downpour, staleness-aware, ssp:BOUND, hard-sync or softsync:N',
    byDefault: defaults.policy,
  },
  codec: {
    kind: 'text',
    value: 'NAME',
    choices: ['float32', 'float16', 'int8'],
    help: 'how gradients travel; the lossy ones feed their error back',
    byDefault: defaults.codec,
  },
  seed: {
    kind: 'integer',
    range: SEEDS,
    value: 'N',
    help: 'of weights, order and everything that is left to chance',
    byDefault: `${defaults.seed}`,
  },
  'step-seconds': {
    kind: 'integer',
    range: [1, 86_400],
    value: 'N',
    help: 'a trainer whose step computes longer is replaced',
    byDefault: `${defaults.stepSeconds}`,
  },
  device: {
    kind: 'text',
    value: 'NAMES',
    help: "of the trainers, e.g. 'cuda:0,cpu': the first that is free; troupe devices lists them",
    byDefault: defaults.device,
  },
  'device-policy': {
    kind: 'text',
    value: 'NAME',
    choices: ['same', 'next'],
    help: 'after a fault of its device a trainer starts again on the same, or on the next of --device',
    byDefault: defaults.devicePolicy,
  },
  chaos: {
    kind: 'text',
    value: 'SPEC',
    help: "faults by progress, e.g. 'kill:trainer@30%,stop:shard@60%,fault:trainer@80%' (or hang:)",
    byDefault: 'none',
  },
  report: { kind: 'text', value: 'FILE', help: 'also write the report here, as JSON' },
  resume: {
    kind: 'text',
    value: 'DIR',
    help: 'go on with the run of this folder, with its options',
  },
} as const satisfies OptionTable

/** Of the control plane beside a run. */
export const controlOptions = {
  port: {
    kind: 'integer',
    range: [0, 65_535],
    value: 'N',
    help: 'of the control plane: the dashboard and the HTTP API',
    byDefault: '0: a free one, printed',
  },
  host: {
    kind: 'text',
    value: 'ADDRESS',
    help: 'it listens on; beyond loopback reading takes the token too',
    byDefault: '127.0.0.1',
  },
  origin: {
    kind: 'text',
    value: 'URLS',
    help: 'pages of elsewhere that may ask, with commas between',
    byDefault: 'none',
  },
  'allow-faults': { kind: 'flag', help: 'faults may be injected over HTTP' },
} as const satisfies OptionTable
