// The dashboard's files, read once and served from the package: nothing comes from anywhere else.
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Disk } from '../../runtime/index.ts'

export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly type: string
  /** Of the content, in quotes. */
  readonly tag: string
}

export interface Page {
  /** '/', '/reference', '/client.js', '/responses.js' or '/assets/...'. */
  find(path: string): PageFile | undefined
}

const types: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

const here = dirname(fileURLToPath(import.meta.url))
const require = createRequire(import.meta.url)

export function openPage(disk: Disk): Page {
  const places = placesOf(disk)
  const files = new Map<string, PageFile>()
  return {
    find(path) {
      const known = files.get(path)
      if (known) return known
      const place = places.get(path)
      if (place === undefined) return undefined
      const file = readFile(disk, place)
      files.set(path, file)
      return file
    },
  }
}

/** Path of the address -> path on disk: only these are served. */
function placesOf(disk: Disk): ReadonlyMap<string, string> {
  const pageFolder = join(here, 'page')
  const own = disk.list(pageFolder).filter((name) => extensionOf(name) in types)
  const uplot = dirname(require.resolve('uplot/dist/uPlot.min.css'))
  const hono = join(dirname(fileURLToPath(import.meta.resolve('hono/client'))), '..')
  const honoFiles = [
    ...disk.list(join(hono, 'client')).map((name) => `client/${name}`),
    'utils/cookie.js',
    'utils/url.js',
  ]
  return new Map([
    ['/', join(pageFolder, 'index.html')],
    ['/reference', join(pageFolder, 'reference.html')],
    ['/favicon.svg', join(pageFolder, 'favicon.svg')],
    ...['client.js', 'responses.js'].map((name): [string, string] => [
      `/${name}`,
      join(here, name),
    ]),
    ...own.map((name): [string, string] => [`/assets/${name}`, join(pageFolder, name)]),
    ...['uPlot.esm.js', 'uPlot.min.css'].map((name): [string, string] => [
      `/assets/uplot/${name}`,
      join(uplot, name),
    ]),
    ...honoFiles
      .filter((name) => name.endsWith('.js'))
      .map((name): [string, string] => [`/assets/hono/${name}`, join(hono, name)]),
  ])
}

function readFile(disk: Disk, path: string): PageFile {
  const bytes = forBrowsers(path, new Uint8Array(disk.read(path)))
  const tag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`
  return { bytes, type: types[extensionOf(path)] ?? 'application/octet-stream', tag }
}

/** The client names its library as packages do; a browser wants an address. */
function forBrowsers(path: string, bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  if (!path.endsWith('/client.js')) return bytes
  const text = new TextDecoder().decode(bytes)
  return new TextEncoder().encode(text.replace("'hono/client'", "'/assets/hono/client/index.js'"))
}

function extensionOf(path: string): string {
  return path.slice(path.lastIndexOf('.') + 1)
}
