// The models that can be downloaded and asked: files, and what a run under way has learnt so far.
import type { Predictions } from '../../protocol/control.ts'
import type { Disk } from '../../runtime/index.ts'
import { openPredictor } from '../image/predict/predictor.ts'
import type { RunInsight, SpeechInsight } from '../insight.ts'
import { openTranscriber } from '../speech/transcriber.ts'
import { createBatcher, type Upload } from './batcher.ts'

export interface ModelEntry {
  readonly name: string
  readonly run?: string
  readonly task: string
  /** Paths; none where the model is not written yet. */
  readonly files: { readonly onnx?: string; readonly safetensors?: string }
  /** Absent where it cannot be asked; answers undefined where too many wait. */
  readonly predict?: Ask
}

export type Answers = Predictions['predictions']
type Answering = (uploads: readonly Upload[], top: number) => Promise<Answers>
export type Ask = (...asked: Parameters<Answering>) => Promise<Answers> | undefined

export interface ModelBook {
  list(): readonly ModelEntry[]
}

const WAITING_MAX = 256

/** Opened when it is first asked; a file that could not be read may be there the next time. */
export function askFile(
  disk: Disk,
  { task, path }: { readonly task: string; readonly path: string },
  { waitingMax = WAITING_MAX, threads }: { waitingMax?: number; threads?: number } = {},
): Ask {
  let opening: Promise<Answering> | undefined
  let waiting = 0
  const open = async (): Promise<Answering> => {
    if (task === 'speech') return askTranscriber(await openTranscriber({ disk, model: path }))
    const options = { disk, model: path, ...(threads !== undefined && { threads }) }
    const batcher = createBatcher(await openPredictor(options))
    return (uploads, top) => batcher.predict(uploads, top).then(namedAlike)
  }
  return (uploads, top) => {
    if (waiting + uploads.length > waitingMax) return undefined
    waiting += uploads.length
    opening ??= open()
    opening.catch(() => {
      opening = undefined
    })
    return opening
      .then((ask) => ask(uploads, top))
      .finally(() => {
        waiting -= uploads.length
      })
  }
}

type Answered = { readonly image: string } & (
  | { readonly predictions: readonly { readonly label: string; readonly probability: number }[] }
  | { readonly error: string }
)

function namedAlike(answers: readonly Answered[]): Answers {
  return answers.map((answer) =>
    'error' in answer
      ? { name: answer.image, error: answer.error }
      : { name: answer.image, predictions: [...answer.predictions] },
  )
}

/** What a run can be asked, with the parameters that it has now. */
export function askInsight({ speech, image }: RunInsight): Ask | undefined {
  if (speech) return askTranscriber(speech)
  if (!image) return undefined
  return (uploads, top) =>
    eachOf(uploads, async ({ bytes }) => {
      const seen = await image.classify(bytes)
      return { predictions: seen.top.slice(0, top).map((each) => ({ ...each })) }
    })
}

function askTranscriber({ transcribe }: Pick<SpeechInsight, 'transcribe'>): Answering {
  return (uploads) =>
    eachOf(uploads, async ({ bytes }) => {
      const { times } = await transcribe(bytes)
      return { words: times.map((word) => ({ ...word })) }
    })
}

/** One after the other: what cannot be read is said in its place. */
async function eachOf(
  uploads: readonly Upload[],
  ask: (upload: Upload) => Promise<Omit<Answers[number], 'name'>>,
): Promise<Answers> {
  const answers: Answers = []
  for (const upload of uploads) {
    const { name } = upload
    try {
      answers.push({ name, ...(await ask(upload)) })
    } catch (error) {
      if (!(error instanceof Error)) throw error
      answers.push({ name, error: error.message.split('\n')[0] ?? '' })
    }
  }
  return answers
}
