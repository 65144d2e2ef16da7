// Sampled traces to a collector, by OTLP over HTTP with JSON (OpenTelemetry Protocol 1.x). Never in the way:
// what a collector does not take in time is counted and dropped.
import type { Clock } from './environment.ts'
import type { InspectionEvent } from './inspect.ts'
import type { System } from './system.ts'

export interface TraceExportOptions {
  /** `POST` goes here: '.../v1/traces'. */
  readonly url: string
  readonly headers?: Readonly<Record<string, string>>
  readonly serviceName?: string
  /** Of the resource, beside the service and its instance. */
  readonly attributes?: Readonly<Record<string, string>>
  /** One in so many steps is traced. Default 100. */
  readonly every?: number
  readonly post?: Post
}

/** Resolves to the status; rejects where nobody answers. */
export type Post = (
  url: string,
  request: {
    readonly headers: Record<string, string>
    readonly body: string
    readonly signal: AbortSignal
  },
) => Promise<{ readonly status: number }>

export interface TraceExport {
  readonly sent: number
  readonly dropped: number
  /** Sends what waits. */
  flush(): Promise<void>
  stop(): Promise<void>
}

type SpanEvent = Extract<InspectionEvent, { type: 'span' }>

const SPANS_MAX = 2_048
const BATCH_MAX = 512
const EVERY_MS = 1_000
const ANSWER_MS_MAX = 5_000
const SAMPLE_EVERY = 100
/** The collector asks for another try (OTLP/HTTP, response codes). */
const RETRYABLE = [429, 502, 503, 504]
const TRIES_MAX = 3

const fetchPost: Post = async (url, request) => await fetch(url, { method: 'POST', ...request })

export function exportTraces(system: System, options: TraceExportOptions): TraceExport {
  const { clock } = system.environment
  const { url, headers = {}, every = SAMPLE_EVERY, post = fetchPost } = options
  const resource = resourceOf(system, options)
  let waiting: SpanEvent[] = []
  let [sent, dropped] = [0, 0]
  let sending: Promise<void> = Promise.resolve()
  let stopClock = clock.after(EVERY_MS, tick)
  const stopListening = system.inspect(
    (event) => {
      if (event.type !== 'span') return
      if (waiting.length < SPANS_MAX) waiting.push(event)
      else dropped += 1
    },
    { spans: every },
  )

  function tick(): void {
    stopClock = clock.after(EVERY_MS, tick)
    void flush()
  }

  /** One request at a time. */
  function flush(): Promise<void> {
    if (waiting.length > 0) sending = sending.then(sendBatch)
    return sending
  }

  async function sendBatch(): Promise<void> {
    const batch = waiting.slice(0, BATCH_MAX)
    waiting = waiting.slice(BATCH_MAX)
    if (batch.length === 0) return
    const isTaken = await deliver(bodyOf(resource, batch))
    if (isTaken) sent += batch.length
    else dropped += batch.length
  }

  async function deliver(body: string): Promise<boolean> {
    for (let tries = 1; ; tries++) {
      const status = await attempt(body)
      if (status >= 200 && status < 300) return true
      if (!RETRYABLE.includes(status) || tries >= TRIES_MAX) return false
      await new Promise<void>((resolve) => clock.after(EVERY_MS * tries, resolve))
    }
  }

  /** 0: nobody answered. */
  async function attempt(body: string): Promise<number> {
    const late = timeout(clock, ANSWER_MS_MAX)
    try {
      const type = { 'content-type': 'application/json', ...headers }
      return (await post(url, { headers: type, body, signal: late.signal })).status
    } catch {
      return 0
    } finally {
      late.cancel()
    }
  }

  return {
    get sent() {
      return sent
    },
    get dropped() {
      return dropped
    },
    flush,
    async stop() {
      stopListening()
      stopClock()
      await flush()
    },
  }
}

function timeout(clock: Clock, ms: number) {
  const controller = new AbortController()
  return { signal: controller.signal, cancel: clock.after(ms, () => controller.abort()) }
}

type Attribute = { readonly key: string; readonly value: { readonly stringValue: string } }

function attributesOf(values: Readonly<Record<string, string>>): Attribute[] {
  return Object.entries(values).map(([key, value]) => ({ key, value: { stringValue: value } }))
}

function resourceOf(
  { member, incarnation }: System,
  { serviceName = 'troupe', attributes = {} }: TraceExportOptions,
): { readonly attributes: readonly Attribute[] } {
  const instance = `${member}/${incarnation}`
  const own = {
    'service.name': serviceName,
    'service.instance.id': instance,
    'troupe.member': member,
  }
  return { attributes: attributesOf({ ...own, ...attributes }) }
}

function bodyOf(resource: ReturnType<typeof resourceOf>, spans: readonly SpanEvent[]): string {
  const scopeSpans = [{ scope: { name: 'troupe' }, spans: spans.map(spanOf) }]
  return JSON.stringify({ resourceSpans: [{ resource, scopeSpans }] })
}

const KIND_INTERNAL = 1
const KIND_CONSUMER = 5

function spanOf({ trace, parent, path, kind, message, wallTime, durationMs }: SpanEvent) {
  const [, traceId, spanId] = trace.split('-')
  const [, , parentSpanId] = parent.split('-')
  return {
    traceId,
    spanId,
    ...(parentSpanId !== undefined && { parentSpanId }),
    name: `${kind} ${message}`,
    kind: parentSpanId === undefined ? KIND_INTERNAL : KIND_CONSUMER,
    startTimeUnixNano: nanoseconds(wallTime),
    endTimeUnixNano: nanoseconds(wallTime + durationMs),
    attributes: attributesOf({ 'troupe.path': path }),
  }
}

/** A decimal string, as 64-bit numbers travel in JSON. */
function nanoseconds(ms: number): string {
  return (BigInt(Math.round(ms * 1_000)) * 1_000n).toString()
}

type Variables = Readonly<Record<string, string | undefined>>

/**
 * As the environment variables of OpenTelemetry say: OTEL_EXPORTER_OTLP_TRACES_ENDPOINT or
 * OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES;
 * TROUPE_TRACE_EVERY says of how many steps one is traced. Undefined where no endpoint is set.
 */
export function traceExportOptions(variables: Variables): TraceExportOptions | undefined {
  const whole = variables.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT
  const base = variables.OTEL_EXPORTER_OTLP_ENDPOINT
  const url = whole || (base ? `${base.replace(/\/$/, '')}/v1/traces` : undefined)
  if (url === undefined) return undefined
  const every = Number(variables.TROUPE_TRACE_EVERY)
  return {
    url,
    headers: pairsOf(variables.OTEL_EXPORTER_OTLP_HEADERS),
    attributes: pairsOf(variables.OTEL_RESOURCE_ATTRIBUTES),
    ...(variables.OTEL_SERVICE_NAME && { serviceName: variables.OTEL_SERVICE_NAME }),
    ...(Number.isInteger(every) && every > 0 && { every }),
  }
}

/** `name=value,name=value`, values percent-encoded. */
function pairsOf(text = ''): Record<string, string> {
  const pairs = text.split(',').filter((pair) => pair.includes('='))
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=')
      return [pair.slice(0, at).trim(), decodeURIComponent(pair.slice(at + 1).trim())]
    }),
  )
}
