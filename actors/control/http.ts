// Routes, as this project writes them: bodies validated, answers described, errors as problem documents
// (RFC 9457). The only importer of hono on the server, and of hono-openapi.
import { type Context, Hono, type MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'
import { describeRoute, generateSpecs, resolver, validator } from 'hono-openapi'
import { Problem as ProblemBody } from '../../protocol/control.ts'

export type { Context, MiddlewareHandler }
export { cors, Hono }

type Status = 400 | 401 | 403 | 404 | 405 | 409 | 413 | 421 | 422 | 429 | 500 | 503

export interface ProblemSpec {
  readonly status: Status
  /** The end of its type, which is stable: `/problems/NAME`. */
  readonly name: string
  readonly title: string
  readonly detail?: string
  readonly headers?: Readonly<Record<string, string>>
}

/** Thrown anywhere below a route: becomes its answer. */
export class Refused extends Error {
  override readonly name = 'Refused'
  readonly problem: ProblemSpec
  constructor(problem: ProblemSpec) {
    super(problem.detail ?? problem.title)
    this.problem = problem
  }
}

export function refuse(
  status: Status,
  name: string,
  title: string,
  detail?: string,
  headers?: Readonly<Record<string, string>>,
): never {
  throw new Refused({
    status,
    name,
    title,
    ...(detail !== undefined && { detail }),
    ...(headers && { headers }),
  })
}

export function answerProblem(c: Context, problem: ProblemSpec): Response {
  const { status, name, title, detail, headers } = problem
  const body = { type: `/problems/${name}`, title, status, ...(detail !== undefined && { detail }) }
  const type = { 'content-type': 'application/problem+json', ...headers }
  return c.body(JSON.stringify(body), status, type)
}

/** `describe` knows the errors of the layers below; what nobody knows is said in no more than a title. */
export function answerError(
  error: Error,
  c: Context,
  describe: (error: Error) => ProblemSpec | undefined,
): Response {
  if (error instanceof Refused) return answerProblem(c, error.problem)
  if (error instanceof HTTPException && error.status === 400) {
    const detail = 'the body is not JSON'
    return answerProblem(c, { status: 400, name: 'malformed', title: 'It cannot be read', detail })
  }
  const known = describe(error)
  return answerProblem(c, known ?? { status: 500, name: 'internal', title: 'Something went wrong' })
}

/** A path that is there with another method is 405; everything else 404. */
export function notFound(app: { readonly routes: readonly Route[] }): (c: Context) => Response {
  const patterns = app.routes
    .filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => ({ method, pattern: patternOf(path) }))
  return (c) => {
    const allowed = patterns
      .filter(({ pattern }) => pattern.test(c.req.path))
      .map(({ method }) => method)
    if (allowed.length === 0) {
      const detail = 'GET /openapi.json lists what there is'
      return answerProblem(c, {
        status: 404,
        name: 'not-found',
        title: 'There is no such path',
        detail,
      })
    }
    const allow = [...new Set(allowed)].join(', ')
    return answerProblem(c, {
      status: 405,
      name: 'wrong-method',
      title: 'The method is not allowed here',
      detail: `use ${allow}`,
      headers: { allow },
    })
  }
}

interface Route {
  readonly method: string
  readonly path: string
}

function patternOf(path: string): RegExp {
  const parts = path.split('/').map((part) => {
    if (!part.startsWith(':')) return part.replace(/[.*+?^$()|[\]\\]/g, '\\$&')
    return /\{(.+)\}$/.exec(part)?.[1] ?? '[^/]+'
  })
  return new RegExp(`^${parts.join('/')}$`)
}

type Schema = Parameters<typeof resolver>[0]

/** What a route does and answers, for the OpenAPI document. */
export function says(
  summary: string,
  answer: Schema | 'events' | 'text' | 'file',
  options: {
    readonly status?: 200 | 201
    readonly problems?: readonly Status[]
    /** Bytes of a file; a body of JSON is described where it is read. */
    readonly body?: 'file'
  } = {},
): MiddlewareHandler {
  const { status = 200, problems = [], body } = options
  const refusals = problems.map((each) => [each, refusal(each)])
  return describeRoute({
    summary,
    ...(body && { requestBody: { required: true, content: contentOf(body) } }),
    responses: {
      [status]: { description: 'done', content: contentOf(answer) },
      ...Object.fromEntries(refusals),
    },
  })
}

function contentOf(answer: Parameters<typeof says>[1]) {
  switch (answer) {
    case 'events':
      return { 'text/event-stream': { schema: { type: 'string' as const } } }
    case 'text':
      return { 'text/plain': { schema: { type: 'string' as const } } }
    case 'file':
      return {
        'application/octet-stream': { schema: { type: 'string' as const, format: 'binary' } },
      }
    default:
      return { 'application/json': { schema: resolver(answer) } }
  }
}

function refusal(status: Status) {
  const content = { 'application/problem+json': { schema: resolver(ProblemBody) } }
  return { description: reasons[status], content }
}

const reasons: { readonly [S in Status]: string } = {
  400: 'the request cannot be read',
  401: 'the token is missing or wrong',
  403: 'this is not allowed here',
  404: 'there is no such thing',
  405: 'the method is not allowed here',
  409: 'not possible in this state',
  413: 'the body is too large',
  421: 'the host is not this one',
  422: 'what was given is not possible',
  429: 'too many failures: wait',
  500: 'something went wrong',
  503: 'not ready, or too busy',
}

/** Reads a body or a query by its schema; what does not fit is refused, and said field by field. */
export function reads<S extends Schema, Target extends 'json' | 'query'>(
  target: Target,
  schema: S,
) {
  return validator(target, schema, (result) => {
    if (result.success) return
    const detail = result.error.map(describeIssue).join('; ')
    refuse(422, 'invalid', target === 'json' ? 'The body is wrong' : 'The query is wrong', detail)
  })
}

interface Issue {
  readonly message: string
  readonly path?: readonly unknown[] | undefined
}

function describeIssue({ path = [], message }: Issue): string {
  const names = path.map((part) =>
    typeof part === 'object' && part !== null && 'key' in part ? String(part.key) : String(part),
  )
  return names.length === 0 ? message : `${names.join('.')}: ${message}`
}

/** Refuses a body that is larger, before it is read. */
export function atMost(bytes: number): MiddlewareHandler {
  const problem: ProblemSpec = {
    status: 413,
    name: 'too-large',
    title: 'The body is too large',
    detail: `at most ${bytes} bytes are read`,
  }
  return bodyLimit({ maxSize: bytes, onError: (c) => answerProblem(c, problem) })
}

/** The OpenAPI 3.1 document of what the routes declare. */
export async function describeApi(app: Hono, version: string): Promise<object> {
  const document = await generateSpecs(app, {
    documentation: {
      openapi: '3.1.0',
      info: {
        title: 'Troupe control plane',
        version,
        description: 'A run of asynchronous training, seen and steered.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
    },
    defaultValidationErrorResponse: false,
  })
  for (const [path, operations] of Object.entries(document.paths ?? {})) {
    for (const [method, operation] of Object.entries(operations ?? {})) {
      if (typeof operation !== 'object' || Array.isArray(operation)) continue
      const [, group = ''] = path.split('/')
      const isChange = method !== 'get' && !path.endsWith('/predict')
      Object.assign(operation, { tags: [group] }, isChange && { security: [{ token: [] }] })
    }
  }
  return document
}
