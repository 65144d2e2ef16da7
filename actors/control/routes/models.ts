// Models: listed, downloaded, asked for predictions.
import * as control from '../../../protocol/control.ts'
import type { Disk } from '../../../runtime/index.ts'
import type { Upload } from '../batcher.ts'
import { atMost, type Context, Hono, refuse, says } from '../http.ts'
import type { ModelBook, ModelEntry } from '../model-book.ts'

export interface ModelRoutesOptions {
  readonly disk: Disk
  readonly models: ModelBook
  /** Of one request for predictions. */
  readonly bodyBytesMax?: number
}

const TOP_MAX = 1_000
const BODY_BYTES_MAX = 32 << 20
const KINDS = ['onnx', 'safetensors'] as const

export const modelRoutes = ({ disk, models, bodyBytesMax = BODY_BYTES_MAX }: ModelRoutesOptions) =>
  new Hono()
    .get('/models', says('Models', control.Models), (c) =>
      c.json({ models: models.list().map((entry) => shown(disk, entry)) }),
    )
    .get(
      '/models/:file{.+[.](onnx|safetensors)}',
      says('Download', 'file', { problems: [404] }),
      (c) => {
        const file = c.req.param('file')
        const kind = KINDS.find((each) => file.endsWith(`.${each}`)) ?? 'onnx'
        const entry = entryNamed(models, file.slice(0, -kind.length - 1))
        const path = entry.files[kind]
        if (path === undefined || !disk.exists(path)) {
          return refuse(
            404,
            'no-file',
            'The model has no such file',
            `${entry.name} is not written`,
          )
        }
        // A copy: the answer must not change where the file does.
        return c.body(new Uint8Array(disk.read(path)), 200, {
          'content-type': 'application/octet-stream',
          'content-disposition': `attachment; filename="${file.replace(/[^\w.-]/g, '_')}"`,
        })
      },
    )
    .post(
      '/models/:name/predict',
      says('Predict on images or recordings', control.Predictions, {
        problems: [404, 409, 413, 422, 503],
        body: 'file',
      }),
      atMost(bodyBytesMax),
      async (c) => {
        const { name, predict } = entryNamed(models, c.req.param('name'))
        const top = topOf(c)
        if (!predict) refuse(409, 'not-possible', 'The model cannot be asked', `${name}: not yet`)
        const uploads = await uploadsOf(c)
        if (uploads.length === 0) {
          const detail = 'send the bytes of an image or a recording, or a form with files'
          refuse(422, 'no-input', 'There is nothing to predict on', detail)
        }
        const asked = predict(uploads, top)
        if (!asked) refuse(503, 'busy', 'Too many inputs wait', 'try again in a moment')
        const predictions = await asked
        const [first] = predictions
        if (first?.error !== undefined && predictions.every(({ error }) => error !== undefined)) {
          refuse(422, 'no-input', 'It cannot be read', first.error)
        }
        return c.json({ model: name, predictions })
      },
    )

function shown(disk: Disk, { name, run, task, files, predict }: ModelEntry): control.Model {
  const written = KINDS.flatMap((kind) => {
    const path = files[kind]
    if (path === undefined || !disk.exists(path)) return []
    const url = `/models/${encodeURIComponent(name)}.${kind}`
    return [{ kind, url, bytes: disk.size(path) }]
  })
  const canPredict = predict !== undefined
  return { name, ...(run !== undefined && { run }), task, files: written, canPredict }
}

function entryNamed(models: ModelBook, name: string): ModelEntry {
  const all = models.list()
  const found = all.find((entry) => entry.name === name)
  if (found) return found
  const known = all.map((entry) => entry.name).join(', ') || 'none'
  return refuse(
    404,
    'unknown-model',
    'There is no such model',
    `there is no model ${name}; there is ${known}`,
  )
}

function topOf(c: Context): number {
  const top = Number(c.req.query('top') ?? 5)
  if (Number.isInteger(top) && top >= 1 && top <= TOP_MAX) return top
  return refuse(422, 'invalid', 'The query is wrong', `top is a whole number from 1 to ${TOP_MAX}`)
}

async function uploadsOf(c: Context): Promise<Upload[]> {
  const kind = c.req.header('content-type') ?? ''
  if (!kind.startsWith('multipart/form-data')) {
    const bytes = new Uint8Array(await c.req.arrayBuffer())
    return bytes.length === 0 ? [] : [{ name: 'input', bytes }]
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
