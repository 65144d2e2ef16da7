// Transcribes a folder with the model of a run.
//   bun examples/decode.ts runs/speech-1/model.onnx path/to/recordings
import { decodeFolder } from 'troupe'

const [model = 'runs/speech-1/model.onnx', data = 'path/to/recordings'] = process.argv.slice(2)

const { utterances, errorRate } = await decodeFolder({ model, data })
for (const { id, words } of utterances) console.log(id, words.join(' '))
// Without transcripts nobody knows.
if (errorRate) console.log(`${errorRate.percent.toFixed(2)} % word errors`)
