// The command line over a running cluster that trains nothing: what is printed, and with which status.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { treeOf } from '../../../actors/cli/cluster/look.ts'
import { pictureOf } from '../../../actors/cli/cluster/top.ts'
import { nearest } from '../../../actors/cli/nearest.ts'
import { controlApp } from '../../../actors/control/app.ts'
import { createPlane } from '../../../actors/control/plane.ts'
import { findPlanes, registerPlane } from '../../../actors/control/registry.ts'
import { type HttpServer, serveHttp } from '../../../actors/control/server.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { fakeRun } from '../control/fake-run.ts'

const environment = realEnvironment({ seed: 0 })
const home = mkdtempSync(join(tmpdir(), 'troupe-home-'))
const main = join(import.meta.dir, '../../../actors/main.ts')
const plane = createPlane({ environment })
const fake = fakeRun()
let server: HttpServer

beforeAll(() => {
  plane.add(fake.run)
  const app = controlApp(plane, { version: '0', token: 'secret', isLoopback: true })
  server = serveHttp((request, env) => app.fetch(request, env), { port: 0 })
  registerPlane(environment, home, {
    url: server.url,
    token: 'secret',
    processId: process.pid,
    self: environment.processes.self,
    startedAt: 1,
  })
})
afterAll(async () => {
  await server.stop()
  rmSync(home, { recursive: true, force: true })
})

async function troupe(line: string, env: Record<string, string> = {}) {
  const child = Bun.spawn([process.execPath, main, ...line.split(' ')], {
    env: { ...process.env, TROUPE_HOME: home, ...env },
    stdout: 'pipe',
    stderr: 'pipe',
    stdin: 'ignore',
  })
  const [out, error] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ])
  return { out, error: error.trim(), status: await child.exited }
}

describe('a command finds the cluster by itself', () => {
  test('and prints a table, or JSON', async () => {
    const { out, status } = await troupe('runs')
    expect(status).toBe(0)
    expect(out).toContain('fake-1')
    const runs = JSON.parse((await troupe('runs --json')).out)
    expect(runs[0].id).toBe('fake-1')
  })

  test('and steers it', async () => {
    expect((await troupe('kill trainer-1')).out).toBe('kill trainer-1\n')
    expect((await troupe('set --learning-rate 0.25')).status).toBe(0)
    expect((await troupe('scale 4')).out).toContain('4 trainers')
    expect((await troupe('scale 2')).out).toBe('2 trainers: trainer-0, trainer-1\n')
    expect(fake.asked).toEqual(['kill trainer-1', 'adjust {"learningRate":0.25}'])
  }, 15_000)

  test('and follows its events until it is told to stop', async () => {
    plane.log.put({ type: 'death', actor: 'trainer-0', cause: 'as told' })
    const child = Bun.spawn(
      [process.execPath, main, 'events', '--since', '0', '--types', 'death'],
      {
        env: { ...process.env, TROUPE_HOME: home },
        stdout: 'pipe',
      },
    )
    const { value } = await child.stdout.getReader().read()
    expect(new TextDecoder().decode(value)).toContain('trainer-0 died: as told')
    child.kill('SIGINT')
    expect(await child.exited).toBe(0)
  })
})

describe('what is wrong is one line', () => {
  test.each([
    ['kill trainer-77', {}, 1, 'no trainer-77; there is'],
    ['ps --url http://127.0.0.1:9', {}, 1, 'does not answer'],
    ['ps --url nowhere', {}, 2, 'give one like'],
    ['pause', { TROUPE_TOKEN: 'wrong' }, 1, 'give --token'],
    ['ps', { TROUPE_HOME: '/nonexistent-home' }, 1, 'no cluster runs'],
    ['kill', {}, 2, 'give MEMBER'],
    ['runs all', {}, 2, "'all' is too much"],
    ['scale many', {}, 2, 'a whole number'],
    ['set', {}, 2, '--learning-rate'],
    ['pasue', {}, 2, 'did you mean pause?'],
  ] as const)('%s', async (line, env, status, message) => {
    const got = await troupe(line, env)
    expect(got.error.split('\n')).toHaveLength(1)
    expect(got.error).toContain(message)
    expect(got.status).toBe(status)
  })
})

test('what a killed control plane left behind is not found, and removed', () => {
  const entry = { url: 'http://127.0.0.1:1', token: 't', processId: 1, startedAt: 2 }
  registerPlane(environment, home, { ...entry, self: 'another life of 1' })
  expect(findPlanes(environment, home).map(({ url }) => url)).toEqual([server.url])
  expect(environment.disk.list(`${home}/clusters`)).toHaveLength(1)
})

test('completions name every command and are understood by their shell', async () => {
  const { out: help } = await troupe('--help')
  const names = [...help.matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name!)
  expect(names.length).toBeGreaterThan(20)
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { out } = await troupe(`completions ${shell}`)
    for (const name of names) expect(out).toContain(name)
    const program = shell === 'zsh' ? undefined : Bun.which(shell)
    if (program)
      expect(Bun.spawnSync([program, '-n'], { stdin: Buffer.from(out) }).exitCode).toBe(0)
  }
})

const member = {
  name: 'trainer-0',
  role: 'trainer',
  incarnation: 3,
  isStale: false,
  seenAt: 0,
  actors: 2,
  mailboxMessages: 5,
  turns: 0,
  links: [],
} as const
const actor = {
  member: 'trainer-0',
  kind: 'some-kind',
  incarnation: 3 * 2 ** 32 + 2,
  mailboxMessages: 5,
  restarts: 1,
  restart: 'transient',
  isStale: false,
} as const

test('the tree is drawn with its twigs, its lives and its last crashes', () => {
  const actors = [
    { ...actor, path: 'trainer-0/a', lastCrash: 'it broke' },
    { ...actor, path: 'trainer-0/a/b', restarts: 0 },
  ]
  expect(treeOf([{ ...member, links: [] }], actors, [])).toBe(
    [
      'MEMBER     KIND       LIFE  MAILBOX  RESTARTS  STATE',
      'trainer-0  trainer    3     5                  ready',
      '├─ a       some-kind  2     5        1         it broke',
      '  └─ b     some-kind  2     5',
    ].join('\n'),
  )
})

test('the live picture fits its terminal', () => {
  const picture = pictureOf(
    { run: undefined, members: [{ ...member, links: [] }], recent: [] },
    40,
    3,
  )
  expect(picture.length).toBeLessThanOrEqual(3)
  for (const line of picture) expect(line.length).toBeLessThanOrEqual(40)
})

test('the word that was meant is the nearest, and none where none is near', () => {
  expect(nearest('pasue', ['pause', 'ps', 'set'])).toBe('pause')
  expect(nearest('xyzzy', ['pause', 'ps', 'set'])).toBeUndefined()
})
