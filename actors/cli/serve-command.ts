// `troupe serve`: predictions over HTTP, on loopback, until Ctrl-C.
import { realEnvironment } from '../../runtime/index.ts'
import { modelRoutes } from '../control/models.ts'
import { openPredictor } from '../image/predict/predictor.ts'
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
  const { disk } = realEnvironment({ seed: 0 })
  // Now, not at the first request.
  await openPredictor({ disk, model: String(model) })
  const { fetch } = modelRoutes({ disk, models: { [String(name)]: String(model) } })
  const server = listen(fetch, Number(port))
  console.log(`http://127.0.0.1:${server.port}/models/${name}/predict`)
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve)
    process.once('SIGTERM', resolve)
  })
  await server.stop()
  return 0
}

interface Listening {
  readonly port: number
  stop(): Promise<void>
}

type Fetch = (request: Request) => Response | Promise<Response>

declare const Deno: {
  serve(options: object, fetch: Fetch): { addr: { port: number }; shutdown(): Promise<void> }
}

function listen(fetch: Fetch, port: number): Listening {
  const options = { hostname: '127.0.0.1', port }
  if (typeof Bun === 'undefined') {
    const server = Deno.serve({ ...options, onListen: () => {} }, fetch)
    return { port: server.addr.port, stop: () => server.shutdown() }
  }
  const server = Bun.serve({ ...options, fetch: (request) => fetch(request) })
  return { port: server.port ?? port, stop: () => server.stop() }
}
