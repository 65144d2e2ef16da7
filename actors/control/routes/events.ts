// What happens: as server-sent events, and the log lines among them.
import {
  type Event,
  Events,
  EventsQuery,
  type LogLine,
  Logs,
  LogsQuery,
  RecentQuery,
} from '../../../protocol/control.ts'
import { Hono, reads, refuse, says } from '../http.ts'
import type { Plane } from '../plane.ts'

const streamHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
}

export const eventRoutes = ({ log }: Plane) =>
  new Hono()
    .get(
      '/events',
      says('What happens, as it happens', 'events', { problems: [422, 503] }),
      reads('query', EventsQuery),
      (c) => {
        const { after, types } = c.req.valid('query')
        const header = Number(c.req.header('last-event-id') ?? Number.NaN)
        // A browser that lost its connection says where it was; that is newer than the address.
        const from = Number.isInteger(header) && header >= 0 ? header : (after ?? log.last)
        // Nobody would read it, and nobody would end it.
        if (c.req.method === 'HEAD') return c.body(null, 200, streamHeaders)
        const stream = log.stream({
          after: from,
          ...(types !== undefined && { types: new Set([...types.split(','), 'missed']) }),
        })
        if (!stream) return refuse(503, 'too-many-readers', 'Too many event streams are open')
        return c.body(stream, 200, streamHeaders)
      },
    )
    .get(
      '/events/recent',
      says('What happened, as far as it is kept', Events, { problems: [422] }),
      reads('query', RecentQuery),
      (c) => {
        const { after, types, limit } = c.req.valid('query')
        const wanted = types === undefined ? undefined : new Set(types.split(','))
        const kept = log.since(after).filter(({ type }) => !wanted || wanted.has(type))
        return c.json({ events: kept.slice(-limit) })
      },
    )
    .get(
      '/logs',
      says('Log lines of all members, oldest first', Logs, { problems: [422] }),
      reads('query', LogsQuery),
      (c) => {
        const { member, level, after, limit } = c.req.valid('query')
        const lines = log
          .since(after)
          .filter(({ type }) => type === 'log')
          .map(lineOf)
          .filter((line) => member === undefined || line.member === member)
          .filter((line) => level === undefined || line.level === level)
        return c.json({ lines: lines.slice(-limit) })
      },
    )

function lineOf({ id, at, member = '', path, level, message, fields }: Event): LogLine {
  return {
    id,
    at,
    member,
    path: String(path),
    level: String(level),
    message: String(message),
    fields: (fields ?? {}) as LogLine['fields'],
  }
}
