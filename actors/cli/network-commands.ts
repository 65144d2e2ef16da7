// The commands around image networks: describe, import, export, predict.
import { networkNames, publishedSizeOf } from '../../models/networks/networks.ts'
import type { NetworkName } from '../../models/networks/image-network.ts'
import { createPool, createSystem, type Disk, realEnvironment } from '../../runtime/index.ts'
import { exportModel, importCheckpoint } from '../image/convert.ts'
import { describeNetwork, type NetworkDescription } from '../image/describe.ts'
import { ImageFolderError } from '../image/folder.ts'
import { type ImagePrediction, openPredictor, predictFiles } from '../image/predict/predictor.ts'
import { startPredictPipeline } from '../image/predict/pipeline.ts'
import { helpOf, type OptionTable, readOptions } from './options.ts'

const network = {
  kind: 'text',
  value: 'NAME',
  isRequired: true,
  choices: networkNames,
  help: 'which network',
} as const
const size = {
  kind: 'integer',
  range: [32, 1_024],
  value: 'N',
  help: 'height and width of an image',
  byDefault: 'as published',
} as const
const json = { kind: 'flag', help: 'as JSON, for scripts' } as const

export const describeOptions: OptionTable = {
  network,
  size,
  classes: {
    kind: 'integer',
    range: [1, 1_000_000],
    value: 'N',
    help: 'that the last layer tells apart',
    byDefault: '1000; 10 for googlenet-small',
  },
  json,
}

export const importOptions: OptionTable = {
  network,
  size,
  labels: { kind: 'text', value: 'FILE', help: 'names of the classes, a line each' },
  out: { kind: 'text', value: 'FILE', help: 'the model', byDefault: 'model.onnx' },
}

export const exportOptions: OptionTable = {
  model: {
    kind: 'text',
    value: 'FILE',
    isRequired: true,
    help: 'model.onnx of a run or an import',
  },
  out: {
    kind: 'text',
    value: 'FILE',
    isRequired: true,
    help: 'what to write: .safetensors (names of torchvision and timm) or .onnx',
  },
}

export const predictOptions: OptionTable = {
  model: {
    kind: 'text',
    value: 'FILE',
    isRequired: true,
    help: 'model.onnx of a run or an import',
  },
  image: { kind: 'text', value: 'FILE', help: 'an image or a folder of them; may be given again' },
  top: { kind: 'integer', range: [1, 1_000], value: 'N', help: 'classes to show', byDefault: '5' },
  subnetworks: {
    kind: 'integer',
    range: [1, 64],
    value: 'K',
    help: 'processes that the network is cut over, as a pipeline',
    byDefault: '1: this one',
  },
  json,
}

export async function describeCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help'))
    return help('troupe describe --network NAME [--json]', describeOptions)
  const given = readOptions(describeOptions, args)
  const name = given.network as NetworkName
  const description = describeNetwork({
    network: name,
    size: Number(given.size ?? publishedSizeOf(name)),
    classes: Number(given.classes ?? (name === 'googlenet-small' ? 10 : 1_000)),
  })
  console.log(given.json ? JSON.stringify(description, null, 2) : descriptionTable(description))
  return 0
}

export async function importCommand(args: readonly string[]): Promise<number> {
  const usage = 'troupe import WEIGHTS.safetensors --network NAME [--out model.onnx]'
  const table = { weights: weightsRow, ...importOptions }
  if (args.includes('--help')) return help(usage, importOptions)
  const [first = '', ...others] = args
  const named = first.startsWith('--') || first === '' ? args : ['--weights', first, ...others]
  const { weights, network: name, size: extent, labels, out } = readOptions(table, named)
  const path = String(out ?? 'model.onnx')
  const classes = importCheckpoint({
    disk: disk(),
    weights: String(weights),
    network: name as NetworkName,
    out: path,
    ...(typeof extent === 'number' && { size: extent }),
    ...(typeof labels === 'string' && { labels }),
  })
  console.log(`${path}: ${name} with ${classes} classes`)
  return 0
}

const weightsRow = {
  kind: 'text',
  value: 'WEIGHTS.safetensors',
  isRequired: true,
  help: 'a checkpoint with the names of torchvision or timm',
} as const

export async function exportCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) return help('troupe export --model FILE --out FILE', exportOptions)
  const { model, out } = readOptions(exportOptions, args)
  exportModel({ disk: disk(), model: String(model), out: String(out) })
  console.log(String(out))
  return 0
}

export async function predictCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    return help('troupe predict --model FILE --image FILE [FILE ...]', predictOptions)
  }
  const { rest, images } = withoutImages(args)
  const { model, top, json: isJson, subnetworks } = readOptions(predictOptions, rest)
  const paths = images.flatMap((path) => filesIn(disk(), path))
  if (paths.length === 0) throw new ImageFolderError('no image: give --image FILE, or a folder')
  const parts = Number(subnetworks ?? 1)
  const options = { model: String(model), paths, top: Number(top ?? 5) }
  const answers =
    parts > 1
      ? await predictInProcesses({ ...options, parts })
      : await predictFiles(await openPredictor({ disk: disk(), ...options }), {
          disk: disk(),
          ...options,
        })
  console.log(isJson ? JSON.stringify(answers, null, 2) : predictionTable(answers))
  return answers.some((answer) => 'predictions' in answer) ? 0 : 1
}

async function predictInProcesses(options: {
  readonly model: string
  readonly paths: readonly string[]
  readonly top: number
  readonly parts: number
}): Promise<readonly ImagePrediction[]> {
  const environment = realEnvironment({ seed: 0 })
  const system = createSystem({ environment, member: 'control', token: crypto.randomUUID() })
  await system.listen({ port: 0 })
  const pool = createPool({
    system,
    module: new URL('../worker.ts', import.meta.url).href,
    life: 0,
  })
  const pipeline = startPredictPipeline({ system, pool, ...options })
  try {
    const predictor = await openPredictor({
      disk: environment.disk,
      model: options.model,
      async predictBatch(images) {
        const outputs = await pipeline.predict(images)
        const last = outputs.at(-1)
        if (!last) throw new Error('the pipeline answered nothing')
        return last
      },
    })
    return await predictFiles(predictor, { disk: environment.disk, ...options })
  } finally {
    await pipeline.stop()
    await pool.stop()
    system.stop()
  }
}

/** `--image` takes every path that follows, and may be given again. */
function withoutImages(args: readonly string[]): { rest: string[]; images: string[] } {
  const rest: string[] = []
  const images: string[] = []
  let isImage = false
  for (const arg of args) {
    const given = /^--image(?:=(.*))?$/.exec(arg)
    if (given) {
      isImage = true
      if (given[1]) images.push(given[1])
    } else if (arg.startsWith('--')) {
      isImage = false
      rest.push(arg)
    } else if (isImage) images.push(arg)
    else rest.push(arg)
  }
  return { rest, images }
}

function filesIn(from: Disk, path: string): readonly string[] {
  try {
    const names = from.list(path).filter((name) => !name.startsWith('.'))
    return [...names].sort().map((name) => `${path}/${name}`)
  } catch {
    // Not a folder: whether it is an image shows when it is read.
    return [path]
  }
}

const disk = (): Disk => realEnvironment({ seed: 0 }).disk

function help(usage: string, table: OptionTable): number {
  console.log(helpOf(usage, table))
  return 0
}

function descriptionTable(description: NetworkDescription): string {
  const { modules, parameters, auxiliaryParameters, multiplyAdds, network: name } = description
  const rows = modules.map((module) => {
    const isCut = description.cuts.includes(module.subnetwork)
    const isLast = modules.findLast(({ subnetwork }) => subnetwork === module.subnetwork) === module
    const line = [
      module.name.padEnd(18),
      module.output.join(' x ').padEnd(18),
      module.parameters.toLocaleString('en').padStart(12),
      module.multiplyAdds.toLocaleString('en').padStart(16),
    ].join(' ')
    return isCut && isLast ? `${line}\n${'-'.repeat(67)}` : line
  })
  const heads =
    auxiliaryParameters > 0
      ? `, and ${auxiliaryParameters.toLocaleString('en')} in heads that exist only while training`
      : ''
  return [
    `${name}, ${description.size} x ${description.size}, ${description.classes} classes`,
    '',
    `${'module'.padEnd(18)} ${'output'.padEnd(18)} ${'parameters'.padStart(12)} ${'multiply-adds'.padStart(16)}`,
    ...rows,
    '',
    `${parameters.toLocaleString('en')} parameters${heads}`,
    `${multiplyAdds.toLocaleString('en')} multiply-adds an image; a line is where the network may be cut`,
  ].join('\n')
}

function predictionTable(answers: readonly ImagePrediction[]): string {
  return answers
    .map((answer) => {
      if ('error' in answer) return `${answer.image}: ${answer.error}`
      const lines = answer.predictions.map(
        ({ label, probability }) => `  ${(100 * probability).toFixed(1).padStart(5)} %  ${label}`,
      )
      return [answer.image, ...lines].join('\n')
    })
    .join('\n')
}
