// The client of the HTTP API: a stream of events read whole, however it is cut, and resumed without loss.
import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { OpenAPIClientAxios } from 'openapi-client-axios'
import {
  answerOf,
  client,
  events,
  parseEvents,
  ProblemError,
} from '../../../actors/control/client.js'
import { controlApp } from '../../../actors/control/app.ts'
import { createPlane } from '../../../actors/control/plane.ts'
import { startControl } from '../../../actors/control/serve.ts'
import { serveHttp } from '../../../actors/control/server.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { fakeRun } from './fake-run.ts'

async function parsed(bytes: Uint8Array, cuts: readonly number[]) {
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  const chunks = [...places, bytes.length].map((end, i) => bytes.slice(places[i - 1] ?? 0, end))
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const chunk of chunks) if (chunk.length > 0) controller.enqueue(chunk)
      controller.close()
    },
  })
  const all = []
  for await (const event of parseEvents(body)) all.push(event)
  return all
}

test('events are the same however their bytes are cut, and whichever line breaks they have', async () => {
  const event = fc.record({
    id: fc.nat(),
    type: fc.constantFrom('tick', 'death'),
    data: fc.array(
      fc.string({ unit: 'grapheme' }).map((text) => text.replace(/[\r\n]/g, '')),
      { minLength: 1, maxLength: 3 },
    ),
  })
  const property = fc.asyncProperty(
    fc.array(event, { maxLength: 5 }),
    fc.constantFrom('\n', '\r\n'),
    fc.array(fc.nat(), { maxLength: 12 }),
    async (sent, end, cuts) => {
      const text = sent
        .map(({ id, type, data }) =>
          [
            ': a comment',
            `id: ${id}`,
            `event: ${type}`,
            ...data.map((line) => `data: ${line}`),
            '',
            '',
          ].join(end),
        )
        .join('')
      const got = await parsed(new TextEncoder().encode(text), cuts)
      expect(got).toEqual(
        sent.map(({ id, type, data }) => ({ id: String(id), type, data: data.join('\n') })),
      )
    },
  )
  await fc.assert(property, { seed: 7, numRuns: 200 })
})

function serve(port = 0) {
  const environment = realEnvironment({ seed: 0 })
  const plane = createPlane({ environment })
  const fake = fakeRun()
  plane.add(fake.run)
  const app = controlApp(plane, { version: '0', token: 'secret', isLoopback: true })
  return { plane, fake, server: serveHttp((request, env) => app.fetch(request, env), { port }) }
}

test('routes are methods, answers are typed, refusals are errors by their names', async () => {
  const { server } = serve()
  const api = client(server.url, { token: 'secret' })
  const { runs } = await answerOf(api.runs.$get())
  expect(runs.map(({ id }) => id)).toEqual(['fake-1'])
  const { done } = await answerOf(api.runs[':id'].pause.$post({ param: { id: 'fake-1' } }))
  expect(done).toBe('paused')
  const again = answerOf(api.runs[':id'].pause.$post({ param: { id: 'fake-1' } }))
  const error = await again.catch((each: unknown) => each)
  expect(error).toBeInstanceOf(ProblemError)
  expect(error).toMatchObject({ status: 409, type: '/problems/not-possible' })
  await server.stop()
})

test('a stream that is cut goes on behind its last event', async () => {
  const first = serve()
  const { port } = first.server
  for (let i = 1; i <= 3; i++) first.plane.log.put({ type: 'tick', i })
  const seen: unknown[] = []
  const stop = new AbortController()
  const stream = events(first.server.url, { after: 0, types: ['tick'], signal: stop.signal })
  for (let i = 0; i < 3; i++) seen.push((await stream.next()).value?.i)
  await first.server.stop()
  // The same place, another life of the server: its numbers are higher.
  const second = serve(port)
  for (let i = 4; i <= 9; i++) second.plane.log.put({ type: 'tick', i })
  for (let i = 0; i < 6; i++) seen.push((await stream.next()).value?.i)
  expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
  stop.abort()
  await second.server.stop()
})

test('it works in Node, which knows nothing of TypeScript, and in Deno', async () => {
  const { server } = serve()
  const path = new URL('../../../actors/control/client.js', import.meta.url).href
  const script = `
    import { answerOf, client } from '${path}'
    const { runs } = await answerOf(client('${server.url}').runs.$get())
    console.log(runs[0].id)`
  const [node, deno] = [Bun.which('node'), Bun.which('deno')]
  const commands = [
    ...(node ? [[node, '--input-type=module', '-e', script]] : []),
    ...(deno ? [[deno, 'run', '-A', '--quiet', '--ext=js', '-']] : []),
  ]
  for (const command of commands) {
    const child = Bun.spawn(command, { stdin: new Blob([script]), stdout: 'pipe' })
    expect((await new Response(child.stdout).text()).trim()).toBe('fake-1')
  }
  await server.stop()
})

test('a client that is made of the OpenAPI document works', async () => {
  const { server, fake } = serve()
  const made = new OpenAPIClientAxios({
    definition: `${server.url}/openapi.json`,
    withServer: { url: server.url },
    axiosConfigDefaults: { headers: { authorization: 'Bearer secret' } },
  })
  const generated = await made.init()
  const call = async (name: string, ...given: (string | object)[]) => {
    const method = generated[name]
    if (!method) throw new Error(`no operation ${name}`)
    return await method(...(given as []))
  }
  expect((await call('getRuns')).data.runs[0].id).toBe('fake-1')
  const { data: done } = await call('postActorsByPathKill', 'trainer-0')
  expect(done).toEqual({ done: 'kill trainer-0' })
  expect((await call('patchRunsById', 'fake-1', { policy: 'ssp:2' })).status).toBe(200)
  const { data: worker, status } = await call('postWorkers')
  expect([worker.id, status]).toEqual(['trainer-2', 201])
  expect(fake.asked).toEqual(['kill trainer-0', 'adjust {"policy":"ssp:2"}'])
  await server.stop()
})

test('where no file can be written there is a control plane all the same, and it says so', async () => {
  const before = process.env.TROUPE_HOME
  process.env.TROUPE_HOME = `${import.meta.path}/below-a-file`
  const control = startControl(realEnvironment({ seed: 0 }), { port: 0 })
  expect((await fetch(`${control.url}/healthz`)).status).toBe(200)
  const [note] = control.plane.log.since(0)
  expect(note).toMatchObject({ type: 'note', message: expect.stringContaining('--token') })
  await control.stop()
  if (before === undefined) delete process.env.TROUPE_HOME
  else process.env.TROUPE_HOME = before
})
