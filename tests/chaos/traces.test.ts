// A gradient is followed from its step to the update of every shard, across processes, by a collector of OTLP.
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { launch, speech, type SpeechOptions } from '../../actors/index.ts'
import {
  createSystem,
  exportTraces,
  next,
  realEnvironment,
  traceExportOptions,
} from '../../runtime/index.ts'
import { union } from '../../protocol/schema.ts'
import { makeTinyDigits } from '../tiny-digits.ts'

interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
}

interface Body {
  readonly resourceSpans: readonly {
    readonly resource: {
      readonly attributes: readonly {
        readonly key: string
        readonly value: { readonly stringValue: string }
      }[]
    }
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[]
  }[]
}

function collector(status = 200) {
  const spans: (Span & { readonly member: string })[] = []
  const requests: Request[] = []
  const server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    async fetch(request) {
      requests.push(request)
      for (const { resource, scopeSpans } of ((await request.json()) as Body).resourceSpans) {
        const member = resource.attributes.find(({ key }) => key === 'troupe.member')!.value
          .stringValue
        for (const { spans: some } of scopeSpans)
          spans.push(...some.map((span) => ({ ...span, member })))
      }
      return new Response('{}', { status })
    },
  })
  return { spans, requests, url: `http://127.0.0.1:${server.port}`, stop: () => server.stop(true) }
}

const folder = mkdtempSync(join(tmpdir(), 'troupe-traces-'))
const variables = [
  'OTEL_EXPORTER_OTLP_ENDPOINT',
  'OTEL_EXPORTER_OTLP_HEADERS',
  'TROUPE_TRACE_EVERY',
]
beforeAll(() => makeTinyDigits(`${folder}/digits`))
afterAll(() => {
  for (const name of variables) delete process.env[name]
  rmSync(folder, { recursive: true, force: true })
})

test('one trace shows the step, its pulls, its computation and its update on both shards', async () => {
  const { spans, requests, url, stop } = collector()
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = url
  process.env.OTEL_EXPORTER_OTLP_HEADERS = 'x-key=a%20b'
  process.env.TROUPE_TRACE_EVERY = '10'
  const given: SpeechOptions = {
    data: `${folder}/digits`,
    out: `${folder}/run`,
    strings: [60, 20, 20],
    hidden: [16],
  }
  await using run = await launch({
    task: speech({ ...given, crossEntropyEpochs: 10, epochs: 1, batchUtterances: 4 }),
  })
  await run.done
  const [first] = requests
  expect([new URL(first!.url).pathname, first!.headers.get('x-key')]).toEqual(['/v1/traces', 'a b'])
  const traces = [...Map.groupBy(spans, ({ traceId }) => traceId).values()]
  const whole = traces.find(
    (each) =>
      each.some(({ name }) => name === 'parameter-shard push') &&
      each.some(({ name }) => name.endsWith('step')),
  )
  expect(whole).toBeDefined()
  const root = whole!.find(({ parentSpanId }) => parentSpanId === undefined)!
  expect(root).toMatchObject({ name: 'sequence-trainer step' })
  const membersOf = (name: string) =>
    whole!
      .filter((span) => span.name === name)
      .map(({ member }) => member)
      .sort()
  expect(membersOf('example-source next')).toEqual(['control'])
  expect(membersOf('parameter-shard pull')).toEqual(['shard-0', 'shard-1'])
  expect(membersOf('sequence-trainer compute')).toEqual([root.member])
  expect(membersOf('parameter-shard push')).toEqual(['shard-0', 'shard-1'])
  for (const { parentSpanId, startTimeUnixNano, endTimeUnixNano, spanId } of whole!) {
    if (spanId !== root.spanId) expect(parentSpanId).toBe(root.spanId)
    expect(BigInt(endTimeUnixNano) >= BigInt(startTimeUnixNano)).toBe(true)
  }
  stop()
}, 60_000)

const idle = {
  kind: 'idle',
  protocol: union({ work: {} }),
  config: { decode: () => undefined },
  start: () => null,
  receive(state: null, _: unknown, context: { span(name: string): { end(): void } | undefined }) {
    context.span('work')?.end()
    return next(state)
  },
}

test('a collector that is down loses spans that are counted, and nothing else', async () => {
  const system = createSystem({ environment: realEnvironment({ seed: 1 }), member: 'here' })
  const traces = exportTraces(system, { url: 'http://127.0.0.1:9/v1/traces', every: 2 })
  const ref = system.spawn(idle, undefined, { name: 'idle' })
  for (let i = 0; i < 10; i++) ref.tell({ type: 'work' })
  await system.drain(1_000)
  await traces.stop()
  expect([traces.sent, traces.dropped]).toEqual([0, 5])
  system.stop()
})

test('where no endpoint is set nothing is exported', () => {
  expect(traceExportOptions({})).toBeUndefined()
  expect(traceExportOptions({ OTEL_EXPORTER_OTLP_ENDPOINT: 'http://x/' })?.url).toBe(
    'http://x/v1/traces',
  )
})
