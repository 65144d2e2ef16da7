// Members, actors, workers and shards of the run that is under way.
import {
  Actor,
  Actors,
  ActorsQuery,
  Done,
  Members,
  Shards,
  Worker,
  Workers,
} from '../../../protocol/control.ts'
import { steerActor } from '../../../runtime/index.ts'
import { Hono, reads, refuse, says } from '../http.ts'
import type { Plane, RunBook } from '../plane.ts'
import { currentBook } from './runs.ts'

export const clusterRoutes = (plane: Plane) =>
  new Hono()
    .get(
      '/actors',
      says('The tree, flat, in order of paths', Actors, { problems: [422] }),
      reads('query', ActorsQuery),
      (c) => {
        const { under, after, limit } = c.req.valid('query')
        const all = actorsOf(plane)
        const found = all.filter(({ path }) => isUnder(path, under) && (!after || path > after))
        const actors = found.slice(0, limit)
        const last = actors.at(-1)
        const at = Math.round(plane.environment.clock.wallTime())
        const next = last && found.length > actors.length ? { next: last.path } : {}
        return c.json({ at, total: all.length, actors, ...next })
      },
    )
    .get('/actors/:path{.+}', says('An actor', Actor, { problems: [404] }), (c) =>
      c.json(actorAt(plane, c.req.param('path'))),
    )
    .post('/actors/:path{.+}/kill', verb('Kill a process, or crash an actor'), async (c) =>
      c.json(await steer(plane, c.req.param('path'), 'kill')),
    )
    .post('/actors/:path{.+}/restart', verb('Restart an actor or a process in order'), async (c) =>
      c.json(await steer(plane, c.req.param('path'), 'restart')),
    )
    .post('/actors/:path{.+}/stop', verb('Stop an actor'), async (c) =>
      c.json(await steer(plane, c.req.param('path'), 'stop')),
    )
    .get('/members', says('Members, with what they say to each other', Members), (c) =>
      c.json({
        at: Math.round(plane.environment.clock.wallTime()),
        members: withDevices(plane.current),
      }),
    )
    .get('/workers', says('Worker processes', Workers), (c) =>
      c.json({ workers: plane.current ? workersOf(plane.current) : [] }),
    )
    .post(
      '/workers',
      says('Add a trainer', Worker, { status: 201, problems: [401, 409] }),
      async (c) => {
        const book = currentBook(plane)
        const name = await book.run.addWorker()
        return c.json(workerNamed(book, name), 201)
      },
    )
    .get('/workers/:id', says('A worker process', Worker, { problems: [404, 409] }), (c) =>
      c.json(workerNamed(currentBook(plane), c.req.param('id'))),
    )
    .delete('/workers/:id', verb('Remove a trainer: its steps go to the others'), async (c) => {
      const book = currentBook(plane)
      const { id } = workerNamed(book, c.req.param('id'))
      await book.run.removeWorker(id)
      return c.json({ done: `removed ${id}` })
    })
    .post('/workers/:id/kill', verb('Send SIGKILL to a process'), async (c) =>
      c.json(await steer(plane, workerNamed(currentBook(plane), c.req.param('id')).id, 'kill')),
    )
    .post('/workers/:id/restart', verb('Restart a process in order'), async (c) =>
      c.json(await steer(plane, workerNamed(currentBook(plane), c.req.param('id')).id, 'restart')),
    )
    .get('/shards', says('Parameter shards', Shards), async (c) =>
      c.json({ shards: [...((await plane.current?.shards.read()) ?? [])] }),
    )

function verb(summary: string) {
  return says(summary, Done, { problems: [401, 404, 409] })
}

function isUnder(path: string, under: string | undefined): boolean {
  return under === undefined || path === under || path.startsWith(`${under}/`)
}

/** Shards are not waited for: their versions are as of the last look at them. */
function actorsOf({ current }: Plane): readonly Actor[] {
  if (!current) return []
  void current.shards.read()
  const versions = new Map(current.shards.known.map(({ id, version }) => [`${id}/shard`, version]))
  return current.observed.actors.map((actor) => {
    const version = versions.get(actor.path)
    return version === undefined ? actor : { ...actor, version }
  })
}

function actorAt(plane: Plane, path: string): Actor {
  const actor = actorsOf(plane).find((each) => each.path === path)
  return actor ?? unknownActor(path)
}

function unknownActor(path: string): never {
  return refuse(404, 'unknown-actor', 'There is no such actor', `no ${path}: GET /actors has all`)
}

/** A path of one name is a process, of more an actor in it. */
async function steer(
  plane: Plane,
  path: string,
  how: 'kill' | 'restart' | 'stop',
): Promise<{ done: string }> {
  const book = currentBook(plane)
  const [member = '', ...names] = path.split('/')
  if (names.length === 0) return await steerProcess(book, member, how)
  if (!book.observed.members.some(({ name }) => name === member)) unknownActor(path)
  const { system } = book.run
  if (!system) return unknownActor(path)
  const address = { member, path: `/${names.join('/')}` }
  const verb = how === 'kill' ? 'crash' : how
  const answer = await steerActor(system, address, verb)
  if (answer === 'stopped') unknownActor(path)
  return { done: `${how} ${path}` }
}

async function steerProcess(
  book: RunBook,
  name: string,
  how: 'kill' | 'restart' | 'stop',
): Promise<{ done: string }> {
  const { id } = workerNamed(book, name)
  if (how === 'stop') {
    const advice = `DELETE /workers/${id} removes it, POST /runs/${book.id}/stop ends the run`
    return refuse(409, 'not-possible', 'A process is not stopped alone', advice)
  }
  if (how === 'kill') await book.run.kill(id)
  else await book.run.restartWorker(id)
  return { done: `${how} ${id}` }
}

function workersOf(book: RunBook): Worker[] {
  return book.run.members().map(({ name, processId, device, ...rest }) => ({
    id: name,
    run: book.id,
    ...rest,
    ...(processId !== undefined && { processId }),
    ...(device !== undefined && { device }),
  }))
}

function workerNamed(book: RunBook, id: string): Worker {
  const all = workersOf(book)
  const found = all.find((worker) => worker.id === id)
  if (found) return found
  const known = all.map((worker) => worker.id).join(', ') || 'none yet'
  return refuse(404, 'unknown-worker', 'There is no such worker', `no ${id}; there is ${known}`)
}

function withDevices(book: RunBook | undefined): Members['members'] {
  if (!book) return []
  const devices = new Map(book.run.members().map(({ name, device }) => [name, device]))
  return book.observed.members.map((member) => {
    const device = devices.get(member.name)
    return device === undefined ? member : { ...member, device }
  })
}
