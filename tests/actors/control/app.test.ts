// The HTTP API over a run that trains nothing: every answer of its declared shape, every refusal a problem.
import { describe, expect, test } from 'bun:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { controlApp } from '../../../actors/control/app.ts'
import { createPlane } from '../../../actors/control/plane.ts'
import * as control from '../../../protocol/control.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { fakeRun } from './fake-run.ts'

const environment = realEnvironment({ seed: 0 })
const TOKEN = 'the-token'

function open({
  isLoopback = true,
  allowFaults = false,
  withRun = true,
  origins = [] as string[],
} = {}) {
  const plane = createPlane({ environment, allowFaults })
  const fake = fakeRun()
  if (withRun) plane.add(fake.run)
  const app = controlApp(plane, { version: '1.2.3', token: TOKEN, isLoopback, origins })
  const ask = async (
    path: string,
    {
      method = 'GET',
      token = TOKEN as string | null,
      body,
      headers = {},
    }: {
      method?: string
      token?: string | null
      body?: unknown
      headers?: Record<string, string>
    } = {},
  ) =>
    await app.request(path, {
      method,
      headers: {
        ...(token !== null && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
  return { plane, fake, app, ask }
}

async function problemOf(response: Response): Promise<control.Problem> {
  expect(response.headers.get('content-type')).toBe('application/problem+json')
  const problem = control.Problem.parse(await response.json())
  expect(problem.status).toBe(response.status)
  expect(problem.detail ?? '').not.toContain('\n')
  return problem
}

describe('the OpenAPI document', () => {
  test('is valid for a public validator, and names everything that scripts rely on', async () => {
    const { ask } = open()
    const document = (await (await ask('/openapi.json')).json()) as {
      openapi: string
      info: { version: string }
      paths: Record<string, Record<string, { security?: unknown }>>
    }
    const validated = await new Validator().validate(structuredClone(document))
    expect(validated).toEqual({ valid: true })
    expect(document.openapi).toBe('3.1.0')
    expect(document.info.version).toBe('1.2.3')
    for (const path of '/healthz /readyz /metrics /actors /members /shards /runs /workers /events'.split(
      ' ',
    )) {
      expect(document.paths[path]?.get).toBeDefined()
    }
    for (const [path, method] of [
      ['/workers', 'post'],
      ['/workers/{id}', 'delete'],
      ['/actors/{path}/kill', 'post'],
    ] as const) {
      expect(document.paths[path]?.[method]?.security).toEqual([{ token: [] }])
    }
  })
})

describe('answers have the shape that is declared', () => {
  test.each([
    ['/healthz', control.Health],
    ['/readyz', control.Readiness],
    ['/runs', control.Runs],
    ['/runs/fake-1', control.Run],
    ['/runs/fake-1/history', control.History],
    ['/actors', control.Actors],
    ['/members', control.Members],
    ['/workers', control.Workers],
    ['/workers/trainer-1', control.Worker],
    ['/shards', control.Shards],
    ['/logs', control.Logs],
    ['/models', control.Models],
  ] as const)('%s', async (path, schema) => {
    const { ask } = open()
    const response = await ask(path, { token: null })
    expect(response.status).toBe(200)
    schema.parse(await response.json())
  })
})

describe('a run is steered', () => {
  test('paused, resumed, adjusted, checkpointed, drained, stopped', async () => {
    const { ask, fake } = open()
    const post = async (verb: string) =>
      (await ask(`/runs/fake-1/${verb}`, { method: 'POST' })).status
    expect(await post('pause')).toBe(200)
    const paused = control.Run.parse(await (await ask('/runs/fake-1')).json())
    expect(paused.state).toBe('paused')
    const again = await ask('/runs/fake-1/pause', { method: 'POST' })
    expect((await problemOf(again)).type).toBe('/problems/not-possible')
    for (const verb of ['resume', 'checkpoint', 'drain', 'stop']) expect(await post(verb)).toBe(200)
    const body = { learningRate: 0.5, policy: 'ssp:3' }
    expect((await ask('/runs/fake-1', { method: 'PATCH', body })).status).toBe(200)
    expect(fake.asked).toEqual([
      'checkpoint',
      'drain',
      'stop',
      'adjust {"learningRate":0.5,"policy":"ssp:3"}',
    ])
  })

  test('workers are added, killed, restarted and removed', async () => {
    const { ask, fake } = open()
    const added = await ask('/workers', { method: 'POST' })
    expect(added.status).toBe(201)
    const { id } = control.Worker.parse(await added.json())
    expect(id).toBe('trainer-2')
    for (const path of [`/workers/${id}/kill`, `/actors/${id}/kill`, `/actors/shard-0/restart`]) {
      expect((await ask(path, { method: 'POST' })).status).toBe(200)
    }
    expect(fake.asked).toEqual([`kill ${id}`, `kill ${id}`, 'restart shard-0'])
    expect((await ask(`/workers/${id}`, { method: 'DELETE' })).status).toBe(200)
    expect((await ask(`/workers/${id}`)).status).toBe(404)
  })

  test('every change is an event, whether it was done or refused; asking is none', async () => {
    const { ask, plane } = open()
    await ask('/runs/fake-1/pause', { method: 'POST' })
    await ask('/runs/fake-1/pause', { method: 'POST' })
    await ask('/runs')
    const audits = plane.log.since(0).filter(({ type }) => type === 'audit')
    expect(audits).toMatchObject([
      { action: 'POST', target: '/runs/fake-1/pause', ok: true, status: 200 },
      { action: 'POST', target: '/runs/fake-1/pause', ok: false, status: 409 },
    ])
  })
})

test('what its events say is what a run shows', async () => {
  const { ask, fake } = open()
  await fake.emit({ type: 'phase', phase: 'sequence', total: 100, unit: 'updates' })
  await fake.emit({
    type: 'progress',
    phase: 'sequence',
    done: 7,
    total: 100,
    loss: 0.5,
    learningRate: 0.1,
    examples: 'frames',
    examplesPerSecond: Number.POSITIVE_INFINITY,
  })
  await fake.emit({ type: 'death', actor: 'trainer-0', cause: 'killed' })
  await fake.emit({ type: 'recovered', actor: 'trainer-0', recoveredMs: 12 })
  const run = control.Run.parse(await (await ask('/runs/fake-1')).json())
  expect(run).toMatchObject({ phase: 'sequence', done: 7, total: 100, loss: 0.5, deaths: 1 })
  expect(run.examplesPerSecond).toBeUndefined()
  const history = control.History.parse(await (await ask('/runs/fake-1/history')).json())
  expect(history.loss).toEqual([0.5])
  expect(history.examplesPerSecond).toEqual([null])
  expect(history.deaths).toMatchObject([{ actor: 'trainer-0', recoveredMs: 12 }])
  const metrics = await (await ask('/metrics')).text()
  expect(metrics).toContain('troupe_deaths_total{run="fake-1"} 1\n')
  expect(metrics).toContain('troupe_run_loss{run="fake-1"} 0.5\n')
})

describe('a problem document for', () => {
  const post = (body?: unknown) => ({ method: 'POST', ...(body !== undefined && { body }) })
  test.each([
    ['an unknown path', '/nothing', {}, 404, 'not-found'],
    ['a wrong method', '/runs', { method: 'DELETE' }, 405, 'wrong-method'],
    ['a wrong method below a path', '/actors/a/b/kill', { method: 'PUT' }, 405, 'wrong-method'],
    ['an unknown run', '/runs/none', {}, 404, 'unknown-run'],
    ['an unknown worker', '/workers/none', { method: 'DELETE' }, 404, 'unknown-worker'],
    ['an unknown actor', '/actors/none/at/all', {}, 404, 'unknown-actor'],
    ['an unknown actor to kill', '/actors/none/at/all/kill', post(), 404, 'unknown-actor'],
    ['an unknown process to kill', '/actors/none/kill', post(), 404, 'unknown-worker'],
    ['a process to stop', '/actors/shard-0/stop', post(), 409, 'not-possible'],
    ['a shard to remove', '/workers/shard-0', { method: 'DELETE' }, 409, 'not-possible'],
    ['malformed JSON', '/runs', post('{"task":'), 400, 'malformed'],
    ['no JSON at all', '/runs', { method: 'POST' }, 422, 'invalid'],
    ['an unknown field', '/runs/fake-1', { method: 'PATCH', body: { rate: 1 } }, 422, 'invalid'],
    ['nothing to change', '/runs/fake-1', { method: 'PATCH', body: {} }, 422, 'invalid'],
    [
      'a rate below 0',
      '/runs/fake-1',
      { method: 'PATCH', body: { learningRate: -1 } },
      422,
      'invalid',
    ],
    ['too large a body', '/runs', post('x'.repeat(70_000)), 413, 'too-large'],
    ['another run', '/runs', post({ task: 'speech' }), 409, 'run-active'],
    ['an unknown task', '/runs', post({ task: 'chess' }), 422, 'invalid'],
    ['a wrong query', '/actors?limit=x', {}, 422, 'invalid'],
    ['a wrong place in the events', '/events?after=-1', {}, 422, 'invalid'],
    ['a fault', '/faults', post({ target: 'shard-0', fault: 'kill' }), 403, 'faults-forbidden'],
    ['a look at what is not there', '/runs/fake-1/confusion', {}, 404, 'no-insight'],
    ['an unknown model', '/models/none.onnx', {}, 404, 'unknown-model'],
  ] as const)('%s', async (_what, path, request, status, name) => {
    const { ask } = open()
    const response = await ask(path, request)
    expect(response.status).toBe(status)
    expect((await problemOf(response)).type).toBe(`/problems/${name}`)
  })

  test('what nobody foresaw, without a word of it', async () => {
    const { fake, ask } = open()
    fake.run.addWorker = async () => {
      throw new TypeError('secret path /x/y')
    }
    const response = await ask('/workers', { method: 'POST' })
    const problem = await problemOf(response)
    expect([problem.status, problem.detail]).toEqual([500, undefined])
  })

  test('a change where no run is under way', async () => {
    const { ask } = open({ withRun: false })
    for (const [path, method] of [
      ['/workers', 'POST'],
      ['/actors/a/kill', 'POST'],
    ] as const) {
      expect((await problemOf(await ask(path, { method }))).type).toBe('/problems/no-run')
    }
    const { actors } = control.Actors.parse(await (await ask('/actors')).json())
    expect(actors).toEqual([])
  })
})

test('who asks only for the head of a stream leaves no reader behind', async () => {
  const { ask, plane } = open()
  const { status, headers } = await ask('/events', { method: 'HEAD' })
  expect([status, headers.get('content-type')]).toEqual([200, 'text/event-stream; charset=utf-8'])
  expect(plane.log.readers).toBe(0)
})

describe('the guard', () => {
  test('lets everybody on this machine read, and nobody change anything without the token', async () => {
    const { ask, fake } = open()
    for (const token of [null, 'wrong', '', `${TOKEN}x`]) {
      const response = await ask('/runs/fake-1/stop', { method: 'POST', token })
      expect(response.status).toBe(401)
      expect(response.headers.get('www-authenticate')).toBe('Bearer')
      expect((await problemOf(response)).type).toBe('/problems/token')
    }
    expect(fake.asked).toEqual([])
    expect((await ask('/runs', { token: null })).status).toBe(200)
  })

  test('beyond loopback wants the token for reading too, but for health and the page itself', async () => {
    const { ask } = open({ isLoopback: false })
    for (const path of ['/runs', '/events', '/openapi.json', '/metrics']) {
      expect((await ask(path, { token: null })).status).toBe(401)
    }
    expect((await ask('/healthz', { token: null })).status).toBe(200)
    expect((await ask('/runs')).status).toBe(200)
  })

  test('makes whoever tries too many tokens wait, also with the right one', async () => {
    const { ask } = open()
    const stop = (token: string) => ask('/runs/fake-1/stop', { method: 'POST', token })
    for (let i = 0; i < 10; i++) expect((await stop(`guess-${i}`)).status).toBe(401)
    const refused = await stop(TOKEN)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await ask('/runs', { token: null })).status).toBe(200)
  })

  test('refuses a name of elsewhere that was made to mean this machine', async () => {
    const { ask } = open()
    const from = (host: string) => ask('/runs', { headers: { host } })
    expect((await from('evil.example:80')).status).toBe(421)
    for (const host of ['127.0.0.1:7070', 'localhost', '[::1]:7070']) {
      expect((await from(host)).status).toBe(200)
    }
  })

  test('says with every answer that nothing of elsewhere may run or look', async () => {
    const { ask } = open()
    for (const path of ['/runs', '/nothing']) {
      const { headers } = await ask(path, { headers: { origin: 'https://evil.example' } })
      expect(headers.get('content-security-policy')).toContain("default-src 'self'")
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('access-control-allow-origin')).toBeNull()
    }
    const asked = open({ origins: ['https://friend.example'] })
    const { headers } = await asked.ask('/runs', { headers: { origin: 'https://friend.example' } })
    expect(headers.get('access-control-allow-origin')).toBe('https://friend.example')
  })
})
