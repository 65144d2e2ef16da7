// The running cluster that a command is about: found by itself where there is one, named where there are more.
import process from 'node:process'
import { realEnvironment } from '../../../runtime/index.ts'
import { type Client, client } from '../../control/client.js'
import { findPlanes, type RegisteredPlane, stateFolder } from '../../control/registry.ts'
import { type OptionTable, type OptionValues, UsageError } from '../options.ts'

export interface Connected {
  readonly url: string
  readonly token: string | undefined
  readonly api: Client
}

export const clusterOptions = {
  url: { kind: 'text', value: 'URL', help: 'of the control plane', byDefault: 'the one that runs' },
  token: {
    kind: 'text',
    value: 'TOKEN',
    help: 'printed at its start',
    byDefault: 'read from its file',
  },
  json: { kind: 'flag', help: 'as JSON, for scripts' },
} as const satisfies OptionTable

/** No cluster runs, or it cannot be told which one is meant. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError'
}

export function connect(values: OptionValues): Connected {
  const { TROUPE_URL, TROUPE_TOKEN } = process.env
  const wanted = typeof values.url === 'string' ? values.url : TROUPE_URL
  const token = typeof values.token === 'string' ? values.token : TROUPE_TOKEN
  const url = wanted === undefined ? undefined : checkUrl(wanted)
  const planes = findPlanes(realEnvironment({ seed: 0 }), stateFolder(process.env))
  const found = url === undefined ? onlyOne(planes) : planes.find((plane) => plane.url === url)
  const own = token ?? found?.token
  const address = url ?? found?.url ?? ''
  return {
    url: address,
    token: own,
    api: client(address, own === undefined ? {} : { token: own }),
  }
}

function onlyOne(planes: readonly RegisteredPlane[]): RegisteredPlane {
  const [first, second] = planes
  if (!first) {
    throw new ClusterError(
      'no cluster runs: start one with troupe up, train or demo, or give --url',
    )
  }
  if (!second) return first
  const all = planes.map(({ url, out }) => (out === undefined ? url : `${url} (${out})`))
  throw new ClusterError(`${planes.length} clusters run: give --url, one of ${all.join(', ')}`)
}

/** What was copied from a browser may have a path and a token behind it. */
function checkUrl(text: string): string {
  const url = URL.parse(text)
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new UsageError(`--url: '${text}'; give one like http://127.0.0.1:7070`)
  }
  return url.origin
}
