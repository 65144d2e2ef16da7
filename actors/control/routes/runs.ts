// Runs: begun, listed, shown, steered.
import { Adjustment, Done, History, NewRun, Run, Runs } from '../../../protocol/control.ts'
import type { GivenOptions } from '../../run/launched.ts'
import { atMost, Hono, reads, refuse, says } from '../http.ts'
import type { Plane, RunBook } from '../plane.ts'

const BODY_BYTES_MAX = 64 << 10

const verbs = {
  pause: { summary: 'Hand out no more steps', done: 'paused' },
  resume: { summary: 'Hand out steps again', done: 'resumed' },
  drain: {
    summary: 'Finish the steps under way, write a checkpoint, end the run',
    done: 'draining',
  },
  stop: { summary: 'Write a checkpoint and end the run now', done: 'stopping' },
  checkpoint: { summary: 'Write a snapshot of every shard', done: 'written' },
} as const
type Verb = keyof typeof verbs

export const runRoutes = (plane: Plane) =>
  new Hono()
    .get('/runs', says('Runs, newest first', Runs), (c) =>
      c.json({ runs: plane.runs.map((book) => book.show()) }),
    )
    .post(
      '/runs',
      says('Start a run of a task', Run, { status: 201, problems: [401, 409, 413, 422] }),
      atMost(BODY_BYTES_MAX),
      reads('json', NewRun),
      async (c) => {
        const { task, options } = c.req.valid('json')
        const book = await plane.start(task, options as GivenOptions)
        return c.json(book.show(), 201)
      },
    )
    .get('/runs/:id', says('A run', Run, { problems: [404] }), (c) =>
      c.json(bookOf(plane, c.req.param('id')).show()),
    )
    .patch(
      '/runs/:id',
      says('Change the learning rate or the staleness policy', Run, {
        problems: [401, 404, 409, 422],
      }),
      atMost(BODY_BYTES_MAX),
      reads('json', Adjustment),
      async (c) => {
        const book = bookOf(plane, c.req.param('id'))
        const { learningRate, policy } = c.req.valid('json')
        await book.run.adjust({
          ...(learningRate !== undefined && { learningRate }),
          ...(policy !== undefined && { policy }),
        })
        book.shards.forget()
        await book.shards.read()
        return c.json(book.show())
      },
    )
    .get('/runs/:id/history', says('Its curves', History, { problems: [404] }), (c) => {
      const { id, history } = bookOf(plane, c.req.param('id'))
      return c.json(history.show(id))
    })
    .post('/runs/:id/pause', verb('pause'), async (c) =>
      c.json(await steer(bookOf(plane, c.req.param('id')), 'pause')),
    )
    .post('/runs/:id/resume', verb('resume'), async (c) =>
      c.json(await steer(bookOf(plane, c.req.param('id')), 'resume')),
    )
    .post('/runs/:id/drain', verb('drain'), async (c) =>
      c.json(await steer(bookOf(plane, c.req.param('id')), 'drain')),
    )
    .post('/runs/:id/stop', verb('stop'), async (c) =>
      c.json(await steer(bookOf(plane, c.req.param('id')), 'stop')),
    )
    .post('/runs/:id/checkpoint', verb('checkpoint'), async (c) =>
      c.json(await steer(bookOf(plane, c.req.param('id')), 'checkpoint')),
    )

function verb(name: Verb) {
  return says(verbs[name].summary, Done, { problems: [401, 404, 409] })
}

/** Drain and stop take their time: their end is seen in the state of the run. */
async function steer({ run }: RunBook, name: Verb): Promise<Done> {
  const done = run[name]()
  if (name === 'drain' || name === 'stop') void done.catch(() => {})
  else await done
  return { done: verbs[name].done }
}

export function bookOf(plane: Plane, id: string): RunBook {
  const book = plane.runs.find((each) => each.id === id)
  if (book) return book
  const known = plane.runs.map((each) => each.id).join(', ') || 'none yet'
  return refuse(404, 'unknown-run', 'There is no such run', `no run ${id}; there is ${known}`)
}

/** The run that workers, actors and shards are of. */
export function currentBook(plane: Plane): RunBook {
  const { current } = plane
  if (current && !current.isOver) return current
  return refuse(409, 'no-run', 'No run is under way', 'start one: POST /runs')
}
