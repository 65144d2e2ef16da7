// `bun run bench [NAME ...] [--data DIR] [--images DIR] [--seeds 1,2,3] [--json FILE]`: the real sizes.
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { actorsBench } from './actors.ts'
import { cifarBench } from './cifar.ts'
import { controlBench } from './control.ts'
import { decoderBench } from './decoder.ts'
import { demoBench } from './demo.ts'
import { imagesBench } from './images.ts'
import { pipelineBench } from './pipeline.ts'
import { type Bench, comparison, describeMachine, type Row, table } from './rows.ts'
import {
  computeShareBench,
  criteriaBench,
  recoveryBench,
  scalingBench,
  tuningBench,
} from './speech.ts'

/** These run anywhere; the others need recordings. */
const selfMade: Readonly<Record<string, Bench>> = {
  demo: demoBench,
  decoder: decoderBench,
  actors: actorsBench,
  images: imagesBench,
  pipeline: pipelineBench,
  control: controlBench,
}
const benches: Readonly<Record<string, Bench>> = {
  ...selfMade,
  recovery: recoveryBench,
  scaling: scalingBench,
  'compute-share': computeShareBench,
  tuning: tuningBench,
  criteria: criteriaBench,
  cifar: cifarBench,
}

/** Half an hour each: only by name. */
const long = ['tuning', 'criteria', 'cifar']

const options = {
  data: { type: 'string' },
  images: { type: 'string' },
  seeds: { type: 'string', default: '1,2,3,4,5' },
  json: { type: 'string' },
  help: { type: 'boolean' },
} as const
const usage = `bun run bench [NAME ...] [--data DIR] [--images DIR] [--seeds N,N,...] [--json FILE]
names: ${Object.keys(benches).join(', ')} (by name only, half an hour each: ${long.join(', ')})`

function readArguments() {
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n${usage}`)
    process.exit(2)
  }
}

const { values, positionals } = readArguments()
if (values.help) {
  console.log(usage)
  process.exit(0)
}
const unknown = positionals.filter((name) => !benches[name])
if (unknown.length > 0) {
  console.error(`no benchmark ${unknown.join(', ')}: ${Object.keys(benches).join(', ')}`)
  process.exit(2)
}
const sharedFolder = (name: string): string | undefined => {
  const folder = join(process.env.TROUPE_SHARED ?? '../shared', 'data', name)
  return existsSync(folder) ? folder : undefined
}
const data = values.data ?? sharedFolder('fsdd/recordings')
const images = values.images ?? sharedFolder('cifar10')
const seeds = values.seeds.split(',').map(Number)
const machine = describeMachine()
const all: Row[] = []
const names =
  positionals.length > 0 ? positionals : Object.keys(benches).filter((n) => !long.includes(n))
for (const name of names) {
  console.log(`\n== ${name}`)
  const [needed, option] = name === 'cifar' ? [images, '--images'] : [data, '--data']
  if (needed === undefined && !Object.hasOwn(selfMade, name)) {
    console.log(`skipped: it needs real data, give ${option} DIR or set TROUPE_SHARED`)
    continue
  }
  const rows = (await benches[name]?.({ data, images, seeds })) ?? []
  const isComparison = rows.some(({ goal }) => goal !== undefined)
  console.log(isComparison ? comparison(rows) : table(rows))
  all.push(...rows)
}
if (values.json) writeFileSync(values.json, `${JSON.stringify({ machine, rows: all }, null, 2)}\n`)
process.exit(0)
