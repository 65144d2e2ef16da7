// Asking the models of a running cluster, and its page.
import { basename } from 'node:path'
import { spawn } from 'node:child_process'
import { realEnvironment } from '../../../runtime/index.ts'
import type { Predictions } from '../../../protocol/control.ts'
import { answerOf, problemOf } from '../../control/client.js'
import type { ClusterCommand } from './command.ts'
import { ClusterError } from './connect.ts'

export const askCommand: ClusterCommand = {
  summary: 'Ask a model of the running cluster about images or recordings.',
  words: ['FILE', 'FILE?', 'FILE?', 'FILE?', 'FILE?', 'FILE?', 'FILE?', 'FILE?'],
  table: {
    name: { kind: 'text', value: 'NAME', help: 'of the model', byDefault: 'the newest' },
    top: {
      kind: 'integer',
      range: [1, 1_000],
      value: 'N',
      help: 'labels of an image',
      byDefault: '5',
    },
  },
  async run(call) {
    const { api, url, words, values } = call
    const { models } = await answerOf(api.models.$get())
    const wanted = values.name ?? models.find(({ canPredict }) => canPredict)?.name
    if (wanted === undefined) throw new ClusterError('no model can be asked yet')
    const { disk } = realEnvironment({ seed: 0 })
    const form = new FormData()
    for (const path of words) {
      form.append('files', new File([new Uint8Array(disk.read(path))], basename(path)))
    }
    const path = `/models/${encodeURIComponent(String(wanted))}/predict?top=${values.top ?? 5}`
    const headers = call.token === undefined ? {} : { authorization: `Bearer ${call.token}` }
    const response = await fetch(`${url}${path}`, { method: 'POST', body: form, headers })
    if (!response.ok) throw await problemOf(response)
    const answer = (await response.json()) as Predictions
    call.print(answer.predictions, () => answer.predictions.map(lineOf).join('\n'))
    return answer.predictions.every(({ error }) => error !== undefined) ? 1 : 0
  },
}

function lineOf({ name, words, predictions, error }: Predictions['predictions'][number]): string {
  if (error !== undefined) return `${name}: ${error}`
  if (words) return `${name}: ${words.map(({ word }) => word).join(' ')}`
  const labels = (predictions ?? []).map(
    ({ label, probability }) => `${label} ${(100 * probability).toFixed(1)} %`,
  )
  return `${name}: ${labels.join(', ')}`
}

const openers: Readonly<Record<string, readonly string[]>> = {
  darwin: ['open'],
  win32: ['cmd', '/c', 'start'],
}

export const openCommand: ClusterCommand = {
  summary: 'Open the dashboard in a browser; its address is printed too.',
  table: { print: { kind: 'flag', help: 'only print the address' } },
  async run({ url, token, values, print }) {
    const address = token === undefined ? url : `${url}/#token=${token}`
    print({ url: address }, () => address)
    if (values.print === true) return 0
    const [program = 'xdg-open', ...options] = openers[process.platform] ?? ['xdg-open']
    const child = spawn(program, [...options, address], { stdio: 'ignore', detached: true })
    // Where there is no browser the address is what helps.
    child.on('error', () => {})
    child.unref()
    return 0
  },
}
