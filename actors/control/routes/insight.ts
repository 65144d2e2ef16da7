// What a person looks at in a run: transcripts and lattices, confusions and samples, pipelines.
import { Confusion, Lattice, Samples, Timeline, Utterances } from '../../../protocol/control.ts'
import type { RunInsight } from '../../insight.ts'
import { Hono, refuse, says } from '../http.ts'
import {
  showConfusion,
  showLattice,
  showSamples,
  showTimeline,
  showUtterances,
} from '../insight-view.ts'
import type { Plane } from '../plane.ts'
import { bookOf } from './runs.ts'

const problems = [404, 409, 503] as const

export const insightRoutes = (plane: Plane) =>
  new Hono()
    .get('/runs/:id/utterances', says('Transcripts', Utterances, { problems }), async (c) =>
      c.json(showUtterances(await insightOf(plane, c.req.param('id'), 'speech').utterances())),
    )
    .get(
      '/runs/:id/utterances/:utterance/lattice',
      says('The lattice of an utterance, with the present model', Lattice, { problems }),
      async (c) => {
        const { id, utterance } = c.req.param()
        return c.json(showLattice(await insightOf(plane, id, 'speech').lattice(utterance)))
      },
    )
    .get('/runs/:id/confusion', says('Classes confused', Confusion, { problems }), async (c) => {
      const confusion = await insightOf(plane, c.req.param('id'), 'image').confusion()
      return c.json(showConfusion(confusion ?? notYet()))
    })
    .get('/runs/:id/samples', says('Sample predictions', Samples, { problems }), async (c) => {
      const samples = await insightOf(plane, c.req.param('id'), 'image').samples()
      return c.json(showSamples(samples ?? notYet()))
    })
    .get('/runs/:id/images/:index', says('A test image', 'file', { problems }), async (c) => {
      const { id, index } = c.req.param()
      const { imagePng } = insightOf(plane, id, 'image')
      if (!/^\d{1,9}$/.test(index)) refuse(404, 'unknown-id', 'There is no such image', index)
      const png = await imagePng(Number(index))
      return c.body(new Uint8Array(png), 200, {
        'content-type': 'image/png',
        'cache-control': 'private, max-age=3600',
      })
    })
    .get(
      '/runs/:id/timeline',
      says('What pipelines did lately', Timeline, { problems }),
      async (c) =>
        c.json(showTimeline(await insightOf(plane, c.req.param('id'), 'pipeline').timeline())),
    )

function notYet(): never {
  return refuse(404, 'no-insight', 'This run has no such thing', 'nothing was evaluated yet')
}

/** What a task does not have is absent in its insight. */
function insightOf<K extends keyof RunInsight>(
  plane: Plane,
  id: string,
  what: K,
): NonNullable<RunInsight[K]> {
  const found = bookOf(plane, id).run.insight()?.[what]
  if (found !== undefined) return found
  return refuse(404, 'no-insight', 'This run has no such thing', `${id} has no ${what}, or not yet`)
}
