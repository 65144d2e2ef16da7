// `troupe serve`: predictions over HTTP, on loopback, until Ctrl-C.
import { type Disk, realEnvironment } from '../../runtime/index.ts'
import { askFile } from '../control/model-book.ts'
import { startControl } from '../control/serve.ts'
import { openPredictor } from '../image/predict/predictor.ts'
import { ModelError } from '../speech/recogniser.ts'
import { openTranscriber } from '../speech/transcriber.ts'
import { helpOf, type OptionTable, readOptions } from './options.ts'

export const serveOptions: OptionTable = {
  model: {
    kind: 'text',
    value: 'FILE',
    isRequired: true,
    help: 'model.onnx of a run or an import',
  },
  name: { kind: 'text', value: 'NAME', help: 'of the model in paths', byDefault: 'image' },
  port: {
    kind: 'integer',
    range: [0, 65_535],
    value: 'N',
    help: 'on loopback',
    byDefault: '0: a free one, printed',
  },
}

export async function serveCommand(args: readonly string[]): Promise<number> {
  if (args.includes('--help')) {
    console.log(helpOf('troupe serve --model FILE [--port N]', serveOptions))
    return 0
  }
  const { model, name = 'image', port = 0 } = readOptions(serveOptions, args)
  const environment = realEnvironment({ seed: 0 })
  const { disk } = environment
  const path = String(model)
  // Now, not at the first request.
  const task = await taskOf(disk, path)
  const entry = { name: String(name), task, files: { onnx: path } }
  const control = startControl(environment, {
    port: Number(port),
    models: [{ ...entry, predict: askFile(disk, { task, path }) }],
  })
  console.log(`${control.url}/models/${name}/predict`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  await control.stop()
  return 0
}

/** Speech where it is a speech model; what is wrong with it is said as of an image model. */
async function taskOf(disk: Disk, model: string): Promise<'speech' | 'image'> {
  try {
    await openTranscriber({ disk, model })
    return 'speech'
  } catch (error) {
    if (!(error instanceof ModelError)) throw error
    await openPredictor({ disk, model })
    return 'image'
  }
}
