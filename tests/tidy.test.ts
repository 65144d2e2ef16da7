// The shape of the project, checked: who imports whom, what is banned where, and dead files.
import { describe, expect, test } from 'bun:test'
import { dirname, join, normalize } from 'node:path'

const folders = ['protocol', 'models', 'runtime', 'actors'] as const
type Folder = (typeof folders)[number]

const mayImport: { readonly [F in Folder]: readonly Folder[] } = {
  protocol: [],
  models: ['protocol'],
  runtime: ['protocol'],
  actors: ['protocol', 'models', 'runtime'],
}
/** Of `protocol`, models know only what a tensor is. */
const modelsMayImport = ['protocol/assert.ts', 'protocol/random.ts', 'protocol/tensor.ts']

/** Files that something outside the sources starts or imports. */
const entryPoints = [
  'actors/index.ts',
  'actors/main.ts',
  'actors/worker.ts',
  'actors/device-probe.ts',
  'actors/speech/compute-thread.ts',
  'actors/image/compute-thread.ts',
  'actors/model/compute-thread.ts',
  'actors/image/pipeline/thread.ts',
  'actors/image/predict/thread.ts',
  'actors/demo/digits-thread.ts',
  'models/index.ts',
  'runtime/index.ts',
  'runtime/simulation/index.ts',
]

const root = join(import.meta.dir, '..')
const sources = new Map<string, string>()
for (const folder of folders) {
  for (const path of new Bun.Glob(`${folder}/**/*.ts`).scanSync(root)) {
    if (!path.endsWith('.d.ts')) sources.set(path, await Bun.file(join(root, path)).text())
  }
}

function importsOf(path: string, text: string): { own: string[]; libraries: string[] } {
  const names = [...text.matchAll(/(?<!')(?:from|import)\s*\(?\s*'([^']+)'/g)].map(
    (match) => match[1]!,
  )
  const own = names.filter((name) => name.startsWith('.'))
  return {
    own: own.map((name) => normalize(join(dirname(path), name))),
    libraries: names.filter((name) => !name.startsWith('.') && !/^(node|bun):/.test(name)),
  }
}

const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, '')

function offenders(pattern: RegExp, except: (path: string) => boolean = () => false): string[] {
  return [...sources]
    .filter(([path, text]) => !except(path) && pattern.test(withoutComments(text)))
    .map(([path]) => path)
}

describe('imports', () => {
  test('point only where the layers allow', () => {
    const wrong: string[] = []
    for (const [path, text] of sources) {
      const folder = path.split('/')[0] as Folder
      for (const target of importsOf(path, text).own) {
        const to = target.split('/')[0] as Folder
        if (to !== folder && !mayImport[folder].includes(to)) wrong.push(`${path} -> ${target}`)
        if (folder === 'models' && to === 'protocol' && !modelsMayImport.includes(target)) {
          wrong.push(`${path} -> ${target}`)
        }
      }
    }
    expect(wrong).toEqual([])
  })

  test('of a third-party library stand in one file', () => {
    const importers = new Map<string, Set<string>>()
    for (const [path, text] of sources) {
      for (const library of importsOf(path, text).libraries) {
        const name = library
          .split('/')
          .slice(0, library.startsWith('@') ? 2 : 1)
          .join('/')
        importers.set(name, (importers.get(name) ?? new Set()).add(path))
      }
    }
    const shared = [...importers].filter(([, paths]) => paths.size > 1)
    expect(shared.map(([name, paths]) => `${name}: ${[...paths].join(', ')}`)).toEqual([])
  })

  test('reach every source file', () => {
    const reached = new Set(entryPoints)
    for (const path of reached) {
      for (const target of importsOf(path, sources.get(path) ?? '').own) reached.add(target)
    }
    const dead = [...sources.keys()].filter((path) => !reached.has(path) && !isKept(path))
    expect(dead).toEqual([])
  })
})

/** The next criterion's base: known, and named one by one. */
function isKept(path: string): boolean {
  return ['models/sequence/lattice-free.ts', 'models/sequence/openfst.ts'].includes(path)
}

describe('sources', () => {
  test('take time and chance as arguments', () => {
    const banned = /\b(Date\.now|new Date\(\)|setTimeout|setInterval|performance\.now|Math\.random)/
    expect(offenders(banned, (path) => path === 'runtime/environment-real.ts')).toEqual([])
  })

  test('hold no any, no unfinished work, no path of a machine', () => {
    expect(offenders(/(:|\bas)\s+any\b|<any>/)).toEqual([])
    const unfinished = [...sources].filter(([, text]) => /\b(TODO|FIXME|XXX)\b/.test(text))
    expect(unfinished.map(([path]) => path)).toEqual([])
    expect(offenders(/'\/(work|home|root|tmp)\//)).toEqual([])
  })

  test('and everything beside them name no folder of one machine', async () => {
    const everything = new Bun.Glob(
      '{*,.ci/*,{docs,examples,tests,actors,models,protocol,runtime}/**}',
    )
    const found: string[] = []
    for await (const path of everything.scan({ cwd: root, dot: true })) {
      const text = await Bun.file(join(root, path)).text()
      if (/(^|[^.\w])\/(work|home|root|Users)\/\w/m.test(text)) found.push(path)
    }
    expect(found).toEqual([])
  })

  test('fit a sitting: no file above 450 lines', () => {
    const long = [...sources].filter(([, text]) => text.split('\n').length > 451)
    expect(long.map(([path, text]) => `${path}: ${text.split('\n').length}`)).toEqual([])
  })
})
