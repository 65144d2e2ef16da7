// Every block of code in the guide compiles, runs, ends by itself and prints what the guide says it prints.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import manifest from '../../package.json'
import { type Snippet, snippetsOf, withPaths } from './snippets.ts'

const root = join(import.meta.dir, '../..')
const guide = join(root, 'docs/guide')
const chapters: readonly string[] = (await readdir(guide)).filter((name) => name.endsWith('.md'))
const snippets: Snippet[] = []
for (const name of chapters) {
  snippets.push(...snippetsOf(name.slice(0, -3), await Bun.file(join(guide, name)).text()))
}

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'troupe-guide-'))
  for (const { chapter, file, code } of snippets) {
    await mkdir(join(folder, chapter), { recursive: true })
    await Bun.write(join(folder, chapter, file), withPaths(code, root, manifest.exports))
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const plainChapters = ['README.md', 'contract.md', 'devices.md']
const RUN_MS = 30_000

async function output(command: string[]): Promise<{ code: number; text: string }> {
  const child = Bun.spawn(command, { cwd: folder, stdout: 'pipe', stderr: 'pipe', timeout: RUN_MS })
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  const code = await child.exited
  return { code, text: code === 0 ? out : `${out}${err}` }
}

describe('the guide', () => {
  test('has code in every chapter that is about code', () => {
    const withCode = new Set([...snippets.map(({ chapter }) => `${chapter}.md`), ...plainChapters])
    expect(chapters.filter((name) => !withCode.has(name))).toEqual([])
  })

  test('names only tests that exist as what holds the contract', async () => {
    const contract = await Bun.file(join(guide, 'contract.md')).text()
    const named = [...contract.matchAll(/^ {2}- `([^`]+)`$/gm)].map(([, name = '']) => name)
    expect(named.length).toBeGreaterThan(30)
    const sources = [...new Bun.Glob('tests/{runtime,chaos,conformance}/**/*.ts').scanSync(root)]
    const texts = await Promise.all(sources.map((path) => Bun.file(join(root, path)).text()))
    expect(named.filter((name) => !texts.some((text) => text.includes(`'${name}'`)))).toEqual([])
  })

  test(
    'compiles as strictly as the project itself',
    async () => {
      const { compilerOptions } = await Bun.file(join(root, 'tsconfig.json')).json()
      const types = { typeRoots: [join(root, 'node_modules')] }
      const tsconfig = { compilerOptions: { ...compilerOptions, ...types }, include: ['**/*.ts'] }
      await Bun.write(join(folder, 'tsconfig.json'), JSON.stringify(tsconfig))
      const { code, text } = await output([join(root, 'node_modules/.bin/tsc'), '-p', folder])
      expect(code === 0 ? '' : text).toBe('')
    },
    RUN_MS,
  )

  for (const { chapter, line, file, printed } of snippets) {
    if (printed === undefined) continue
    test.concurrent(
      `docs/guide/${chapter}.md:${line} prints what it says`,
      async () => {
        const { text } = await output([process.execPath, join(folder, chapter, file)])
        expect(text).toBe(printed)
      },
      RUN_MS,
    )
  }
})
