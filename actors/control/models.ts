// Predictions over HTTP: `GET /models`, `POST /models/NAME/predict`. Requests that come together share a
// batch; what waits is bounded. Errors are problem documents (RFC 9457). The only importer of hono.
import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { OnnxFileError } from '../../models/onnx-file.ts'
import type { Disk } from '../../runtime/environment.ts'
import { ModelCardError } from '../image/card.ts'
import { type ImagePrediction, openPredictor, type Predictor } from '../image/predict/predictor.ts'

export interface ModelRoutesOptions {
  readonly disk: Disk
  /** Name -> path of its model.onnx. */
  readonly models: Readonly<Record<string, string>>
  readonly bodyBytesMax?: number
  /** Images that may wait for their batch. */
  readonly waitingMax?: number
  readonly threads?: number
}

interface Problem {
  readonly status: 400 | 404 | 405 | 413 | 422 | 500 | 503
  /** The end of its type: `/problems/NAME`. */
  readonly name: string
  readonly title: string
  readonly detail?: string
}

interface Upload {
  readonly name: string
  readonly bytes: Uint8Array
}

const TOP_MAX = 1_000
const BODY_BYTES_MAX = 32 << 20
const WAITING_MAX = 256

export function modelRoutes(options: ModelRoutesOptions): Hono {
  const { models, bodyBytesMax = BODY_BYTES_MAX } = options
  const batchers = new Map<string, Promise<Batcher>>()
  const batcherOf = (name: string, model: string): Promise<Batcher> => {
    const opening = batchers.get(name) ?? openBatcher(options, model)
    batchers.set(name, opening)
    // A file that could not be read may be there the next time.
    opening.catch(() => batchers.delete(name))
    return opening
  }
  const app = new Hono()
  app.get('/models', (c) => c.json({ models: Object.keys(models).map((name) => ({ name })) }))
  const tooLarge: Problem = {
    status: 413,
    name: 'too-large',
    title: 'The body is too large',
    detail: `at most ${bodyBytesMax} bytes are read`,
  }
  const limit = bodyLimit({ maxSize: bodyBytesMax, onError: (c) => problem(c, tooLarge) })
  app.post('/models/:name/predict', limit, async (c) => {
    const name = c.req.param('name')
    const model = Object.hasOwn(models, name) ? models[name] : undefined
    if (model === undefined) return problem(c, unknownModel(name, models))
    const top = Number(c.req.query('top') ?? 5)
    if (!Number.isInteger(top) || top < 1 || top > TOP_MAX) {
      const detail = `top is a whole number from 1 to ${TOP_MAX}`
      return problem(c, { status: 400, name: 'wrong-query', title: 'The query is wrong', detail })
    }
    const images = await uploadsOf(c)
    if (images.length === 0) {
      const detail = 'send the bytes of an image, or a form with files'
      return problem(c, { status: 422, name: 'no-image', title: 'There is no image', detail })
    }
    const batcher = await batcherOf(name, model)
    const answers = batcher.predict(images, top)
    if (!answers) return problem(c, busy)
    const predictions = await answers
    const [first] = predictions
    const isNone = predictions.every((answer) => 'error' in answer)
    if (isNone && first && 'error' in first) {
      const title = 'The image cannot be read'
      return problem(c, { status: 422, name: 'no-image', title, detail: first.error })
    }
    return c.json({ model: name, predictions })
  })
  app.all('/models/:name/predict', (c) => problem(c, wrongMethod('POST')))
  app.all('/models', (c) => problem(c, wrongMethod('GET')))
  app.notFound((c) =>
    problem(c, { status: 404, name: 'not-found', title: 'There is no such path' }),
  )
  app.onError((error, c) => problem(c, describeError(error)))
  return app
}

const busy: Problem = {
  status: 503,
  name: 'busy',
  title: 'Too many images wait',
  detail: 'try again in a moment',
}

function unknownModel(name: string, models: Readonly<Record<string, string>>): Problem {
  const detail = `there is no model ${name}; there is ${Object.keys(models).join(', ') || 'none'}`
  return { status: 404, name: 'unknown-model', title: 'There is no such model', detail }
}

function wrongMethod(allowed: string): Problem {
  const title = 'The method is not allowed here'
  return { status: 405, name: 'wrong-method', title, detail: `use ${allowed}` }
}

/** What went wrong inside is said in one line where it is about the model, and not at all otherwise. */
function describeError(error: Error): Problem {
  const isModel = [ModelCardError, OnnxFileError].some((kind) => error instanceof kind)
  const title = 'The model cannot be used'
  if (isModel) return { status: 500, name: 'unusable-model', title, detail: error.message }
  return { status: 500, name: 'internal', title: 'Something went wrong' }
}

function problem(c: Context, { status, name, title, detail }: Problem): Response {
  const body = { type: `/problems/${name}`, title, status, ...(detail !== undefined && { detail }) }
  return c.body(JSON.stringify(body), status, { 'content-type': 'application/problem+json' })
}

async function uploadsOf(c: Context): Promise<Upload[]> {
  const kind = c.req.header('content-type') ?? ''
  if (!kind.startsWith('multipart/form-data')) {
    const bytes = new Uint8Array(await c.req.arrayBuffer())
    return bytes.length === 0 ? [] : [{ name: 'image', bytes }]
  }
  const form = await c.req.parseBody({ all: true })
  const files = Object.values(form)
    .flat()
    .filter((value) => value instanceof File)
  return await Promise.all(
    files.map(async (file) => ({
      name: file.name,
      bytes: new Uint8Array(await file.arrayBuffer()),
    })),
  )
}

interface Batcher {
  /** undefined where too many wait. */
  predict(images: readonly Upload[], top: number): Promise<readonly ImagePrediction[]> | undefined
}

interface Waiting {
  readonly images: readonly Upload[]
  readonly top: number
  readonly resolve: (answers: readonly ImagePrediction[]) => void
  readonly reject: (error: unknown) => void
}

async function openBatcher(
  { disk, threads, waitingMax = WAITING_MAX }: ModelRoutesOptions,
  model: string,
): Promise<Batcher> {
  const predictor = await openPredictor({ disk, model, ...(threads !== undefined && { threads }) })
  let waiting: Waiting[] = []
  let isRunning = false

  async function run(): Promise<void> {
    isRunning = true
    while (waiting.length > 0) {
      const batch = waiting
      waiting = []
      await answer(predictor, batch)
    }
    isRunning = false
  }

  return {
    predict(images, top) {
      const count = waiting.reduce((sum, request) => sum + request.images.length, 0)
      if (count + images.length > waitingMax) return undefined
      const { promise, resolve, reject } = Promise.withResolvers<readonly ImagePrediction[]>()
      waiting.push({ images, top, resolve, reject })
      if (!isRunning) void run()
      return promise
    },
  }
}

async function answer(predictor: Predictor, batch: readonly Waiting[]): Promise<void> {
  const top = Math.max(...batch.map((request) => request.top))
  try {
    const all = await predictor.predict(
      batch.flatMap(({ images }) => images),
      { top },
    )
    let from = 0
    for (const { images, top: wanted, resolve } of batch) {
      const own = all.slice(from, (from += images.length))
      resolve(own.map((each) => shortened(each, wanted)))
    }
  } catch (error) {
    for (const { reject } of batch) reject(error)
  }
}

function shortened(answer: ImagePrediction, top: number): ImagePrediction {
  return 'predictions' in answer
    ? { ...answer, predictions: answer.predictions.slice(0, top) }
    : answer
}
