// The examples do what their first lines say, as somebody who copies them would see it.
import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'

const root = join(import.meta.dir, '../..')
const RUN_MS = 20_000

function start(name: string, ...args: string[]) {
  return Bun.spawn([process.execPath, join(root, 'examples', name), ...args], {
    cwd: root,
    stdin: 'pipe',
    stdout: 'pipe',
    stderr: 'inherit',
    timeout: RUN_MS,
  })
}

/** Lines as they come; `until` waits for one. */
function linesOf(stream: ReadableStream<Uint8Array>) {
  const reader = stream.getReader()
  const decoder = new TextDecoder()
  let text = ''
  return {
    async until(pattern: RegExp): Promise<RegExpExecArray> {
      for (;;) {
        const found = pattern.exec(text)
        if (found) return found
        const { value, done } = await reader.read()
        if (done) throw new Error(`the output ended without ${pattern}: ${text}`)
        text += decoder.decode(value, { stream: true })
      }
    },
  }
}

describe('examples', () => {
  test(
    'counter: counts, crashes and is back',
    async () => {
      const child = start('counter.ts')
      expect(await new Response(child.stdout).text()).toMatch(/^55\n.*new life.*\n0\n$/)
      expect(await child.exited).toBe(0)
    },
    RUN_MS,
  )

  test(
    'worker-pool: every answer comes, whoever is killed',
    async () => {
      const child = start('worker-pool.ts')
      const text = await new Response(child.stdout).text()
      expect(text).toContain('killed by SIGKILL')
      expect(text).toContain('176302 primes below 2400000: right')
      expect(await child.exited).toBe(0)
    },
    RUN_MS,
  )

  test(
    'bank-transfer: the books balance, whoever dies',
    async () => {
      const child = start('bank-transfer.ts')
      const text = await new Response(child.stdout).text()
      expect(text).toContain('killed by SIGKILL')
      expect(text).toContain('20000 in all')
      expect(text).toEndWith('the books balance\n')
      expect(await child.exited).toBe(0)
    },
    RUN_MS,
  )

  test(
    'chat: two processes talk, and one is told when the other is killed',
    async () => {
      const ada = start('chat.ts', 'Ada')
      const adaSees = linesOf(ada.stdout)
      const [, url = ''] = await adaSees.until(/NAME (ws:\S+)/)
      const grace = start('chat.ts', 'Grace', url)
      const graceSees = linesOf(grace.stdout)
      await adaSees.until(/Grace is here/)
      ada.stdin.write('hello\n')
      ada.stdin.flush()
      await graceSees.until(/Ada: hello/)
      grace.stdin.write('hello, Ada\n')
      grace.stdin.flush()
      await adaSees.until(/Grace: hello, Ada/)
      grace.kill('SIGKILL')
      await adaSees.until(/Grace has left/)
      ada.stdin.end()
      expect(await ada.exited).toBe(0)
    },
    RUN_MS,
  )
})
