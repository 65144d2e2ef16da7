// @ts-check
// The reference of the HTTP API, made of its OpenAPI document in the browser.
import { get } from './api.js'
import { messageOf } from './actions.js'
import { byId, h } from './dom.js'

/** @typedef {{ $ref?: string, type?: string | string[], properties?: Record<string, Schema>, items?: Schema, enum?: unknown[], description?: string, required?: string[], anyOf?: Schema[], additionalProperties?: unknown }} Schema */
/** @typedef {{ summary?: string, tags?: string[], security?: unknown[], parameters?: { name: string, in: string, required?: boolean, description?: string, schema?: Schema }[], requestBody?: { content: Record<string, { schema?: Schema }> }, responses: Record<string, { description?: string, content?: Record<string, { schema?: Schema }> }> }} Operation */

async function show() {
  const document =
    /** @type {{ info: { version: string }, paths: Record<string, Record<string, Operation>>, components: { schemas: Record<string, Schema> } }} */ (
      await get('/openapi.json')
    )
  byId('version').textContent = document.info.version
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  )
  const groups = Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'other')
  byId('reference').replaceChildren(
    ...[...groups].map(([name, all]) =>
      h('section', { className: 'wide' }, h('h2', {}, name), ...all.map(operationOf)),
    ),
    h(
      'section',
      { className: 'wide' },
      h('h2', {}, 'Bodies'),
      ...Object.entries(document.components.schemas).map(([name, schema]) =>
        h('details', { id: `body-${name}` }, h('summary', {}, name), fieldsOf(schema)),
      ),
    ),
  )
}

/** @param {{ path: string, method: string, operation: Operation }} row */
function operationOf({ path, method, operation }) {
  const { summary = '', parameters = [], requestBody, responses, security } = operation
  const body = Object.values(requestBody?.content ?? {})[0]?.schema
  return h(
    'details',
    {},
    h(
      'summary',
      {},
      h('b', {}, method.toUpperCase()),
      ` ${path} `,
      h('span', { className: 'quiet' }, `${summary}${security ? ' · token' : ''}`),
    ),
    ...(parameters.length
      ? [
          h(
            'ul',
            {},
            ...parameters.map(({ name, in: where, description = '' }) =>
              h('li', {}, h('code', {}, name), ` in ${where} ${description}`),
            ),
          ),
        ]
      : []),
    ...(body ? [h('p', {}, 'takes ', typeOf(body))] : []),
    h(
      'ul',
      {},
      ...Object.entries(responses).map(([status, { description = '', content = {} }]) => {
        const [media, { schema } = {}] = Object.entries(content)[0] ?? []
        return h(
          'li',
          {},
          h('b', {}, status),
          ` ${description} `,
          ...(schema ? [typeOf(schema)] : []),
          media && media !== 'application/json' ? ` ${media}` : '',
        )
      }),
    ),
  )
}

/** @param {Schema} schema @returns {Node} */
function typeOf(schema) {
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1) ?? ''
    return h(
      'a',
      { href: `#body-${name}`, onclick: () => Object.assign(byId(`body-${name}`), { open: true }) },
      name,
    )
  }
  if (schema.enum) return h('code', {}, schema.enum.map((each) => JSON.stringify(each)).join(' | '))
  if (schema.items) return h('span', {}, 'list of ', typeOf(schema.items))
  if (schema.anyOf)
    return h(
      'span',
      {},
      ...schema.anyOf.flatMap((each, index) => [index ? ' | ' : '', typeOf(each)]),
    )
  if (schema.properties) return fieldsOf(schema)
  return h('code', {}, String(schema.type ?? 'anything'))
}

/** @param {Schema} schema */
function fieldsOf({ properties = {}, required = [], description = '' }) {
  return h(
    'div',
    {},
    ...(description ? [h('p', { className: 'quiet' }, description)] : []),
    h(
      'ul',
      {},
      ...Object.entries(properties).map(([name, schema]) =>
        h(
          'li',
          {},
          h('code', {}, `${name}${required.includes(name) ? '' : '?'}`),
          ': ',
          typeOf(schema),
          schema.description ? ` ${schema.description}` : '',
        ),
      ),
    ),
  )
}

show().catch((error) =>
  byId('reference').replaceChildren(h('p', { className: 'failure' }, messageOf(error))),
)
