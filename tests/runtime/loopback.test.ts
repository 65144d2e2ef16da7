// The real world: sockets on loopback, the disk, a compute thread.
import { afterEach, describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { float32View, tensorOf } from '../../protocol/tensor.ts'
import { DiskError, realEnvironment } from '../../runtime/index.ts'
import { createSystem, type System } from '../../runtime/system.ts'
import { type EchoMessage, echo } from '../chaos/fixtures/actors.ts'

const systems: System[] = []
afterEach(() => {
  for (const system of systems.splice(0).reverse()) system.stop()
})

function start(member: string, token = 'secret'): System {
  const system = createSystem({ environment: realEnvironment({ seed: member }), member, token })
  systems.push(system)
  return system
}

async function startPair(): Promise<{ a: System; b: System }> {
  const a = start('a')
  const b = start('b')
  a.spawn(echo, { greeting: '' }, { name: 'echo' })
  const url = await a.listen()
  await b.join(url)
  return { a, b }
}

describe('two systems on loopback', () => {
  test('ask each other and see the death of an actor at once', async () => {
    const { a, b } = await startPair()
    const far = b.ref<EchoMessage>({ member: 'a', path: '/echo' })
    expect(await b.ask(far, { type: 'echo', text: 'hello' }, { timeoutMs: 2_000 })).toBe('hello')
    const held = b.ask(far, { type: 'hold' }, { timeoutMs: 60_000 })
    far.tell({ type: 'crash', cause: 'as told' })
    expect(await messageOf(held)).toContain('died: a/echo: TypeError: as told')
    await held.catch(() => {})
    expect(a.actors().find(({ path }) => path === '/echo')?.restarts).toBe(1)
  })

  test('tensors of 26 MB arrive aligned and whole, both ways', async () => {
    const { b } = await startPair()
    const far = b.ref<EchoMessage>({ member: 'a', path: '/echo' })
    const values = Float32Array.from({ length: 6_500_000 }, (_, i) => i % 1_000)
    for (let round = 0; round < 3; round++) {
      const weighed = await b.ask(
        far,
        { type: 'weigh', tensor: tensorOf(values) },
        { timeoutMs: 10_000 },
      )
      expect(weighed.misalignment).toBe(0)
      expect(weighed.tensor.bytes.byteOffset % 8).toBe(0)
      expect(Buffer.compare(weighed.tensor.bytes, new Uint8Array(values.buffer))).toBe(0)
      expect(float32View(weighed.tensor)[999]).toBe(999)
    }
  }, 20_000)

  test('many messages arrive in order', async () => {
    const { b } = await startPair()
    const far = b.ref<EchoMessage>({ member: 'a', path: '/echo' })
    const count = 20_000
    for (let value = 0; value < count; value++) {
      expect(far.tell({ type: 'count', value })).toBe('accepted')
      if (value % 500 === 499) await b.ask(far, { type: 'echo', text: '' }, { timeoutMs: 5_000 })
    }
    const counted = await b.ask(far, { type: 'counted' }, { timeoutMs: 5_000 })
    expect(counted).toEqual(Array.from({ length: count }, (_, i) => i))
  }, 20_000)

  test('a wrong token is refused by name', async () => {
    const url = await start('a').listen()
    expect(await messageOf(start('b', 'guess').join(url))).toContain('wrong token')
    await Bun.sleep(50)
  })

  test('a member that stops says goodbye', async () => {
    const { a, b } = await startPair()
    const lost = new Promise<string>((resolve) => {
      a.inspect((event) => {
        if (event.type === 'member-lost') resolve(event.cause)
      })
    })
    b.stop()
    expect(await lost).toBe('left')
  })

  test('nobody listens there: join fails, and says where', async () => {
    const nobody = messageOf(start('b').join('ws://127.0.0.1:1'))
    const nonsense = messageOf(start('c').join('nonsense'))
    expect(await nobody).toContain('cannot join ws://127.0.0.1:1')
    expect(await nonsense).toContain('not a WebSocket URL')
  })

  test('a port that is taken is a TransportError', async () => {
    const url = await start('a').listen()
    const port = Number(new URL(url).port)
    expect(await messageOf(start('b').listen({ port }))).toContain('choose another port')
  })
})

describe('the disk', () => {
  const { disk } = realEnvironment({ seed: 1 })
  const folder = mkdtempSync(join(tmpdir(), 'troupe-disk-'))
  afterEach(() => rmSync(folder, { recursive: true, force: true }))

  test('reads and maps what was written and appended; a write replaces the whole', () => {
    const path = join(folder, 'deep/file')
    disk.makeFolder(join(folder, 'deep'))
    disk.write(path, Uint8Array.from([1, 2, 3]))
    const mapped = disk.map(path)
    disk.write(path, Uint8Array.from([4]))
    const appender = disk.append(path)
    appender.append(Uint8Array.from([5, 6]))
    appender.sync()
    appender.close()
    expect([...disk.read(path)]).toEqual([4, 5, 6])
    expect([...mapped]).toEqual([1, 2, 3])
    expect(disk.list(join(folder, 'deep'))).toEqual(['file'])
    disk.write(path, new Uint8Array(0))
    expect(disk.map(path).byteLength).toBe(0)
    disk.remove(path)
    expect(disk.exists(path)).toBe(false)
  })

  test('a device is written to, not replaced by a file', () => {
    disk.write('/dev/null', new Uint8Array(9))
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true)
  })

  test('a write that fails leaves no draft', () => {
    disk.makeFolder(`${folder}/full`)
    expect(() => disk.write('/dev/full', new Uint8Array(9))).toThrow('the disk is full')
    expect(() => disk.write(`${folder}/full`, new Uint8Array(9))).toThrow('is a folder')
    expect(disk.list(folder)).toEqual(['full'])
  })

  test('its errors name the path and what is wrong', () => {
    const path = join(folder, 'nothing/here')
    for (const attempt of [
      () => disk.read(path),
      () => disk.map(path),
      () => disk.write(path, new Uint8Array(1)),
      () => disk.append(path),
      () => disk.list(path),
    ]) {
      expect(attempt).toThrow(DiskError)
      expect(attempt).toThrow(`${path}: no such file or folder`)
    }
  })
})

test('a compute thread shares memory, answers in order and reports what a method threw', async () => {
  const module = fileURLToPath(new URL('../chaos/fixtures/compute.ts', import.meta.url))
  const thread = realEnvironment({ seed: 1 }).compute.start(module)
  expect(await Promise.all([1, 2, 3].map((value) => thread.call('double', value)))).toEqual([
    2, 4, 6,
  ])
  const shared = new Float32Array(new SharedArrayBuffer(40))
  expect(await thread.call('fill', shared)).toBe(10)
  expect(shared[9]).toBe(7)
  expect(await messageOf(thread.call('refuse', null))).toBe('RangeError: not today')
  expect(await messageOf(thread.call('constructor', null))).toContain('no method constructor')
  const last = thread.call('double', 4)
  thread.close()
  expect(await last).toBe(8)
  expect(await messageOf(thread.call('double', 5))).toBe('double: the thread is closed')
})

/** Bun's `rejects` waits without letting sockets and threads answer, so errors are taken by hand. */
async function messageOf(promise: Promise<unknown>): Promise<string> {
  return await promise.then(
    () => 'no error',
    (error: Error) => error.message,
  )
}
