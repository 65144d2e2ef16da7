// `bun run check`: format, lint, types, tests, also on Deno where it is; one closing line that counts them all.
import { parseArgs } from 'node:util'
import { suiteCommand } from './conformance/on-deno.ts'

interface StepResult {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
}

// `--fast`: all but the tests, while writing.
const { values } = parseArgs({ options: { fast: { type: 'boolean' } }, allowPositionals: true })

async function run(
  name: string,
  command: readonly string[],
): Promise<{ ok: boolean; output: string }> {
  console.log(`\n== ${name}: ${command.join(' ')}`)
  const child = Bun.spawn([...command], { stdout: 'pipe', stderr: 'pipe', stdin: 'ignore' })
  let output = ''
  const show = async (stream: ReadableStream<Uint8Array>): Promise<void> => {
    const decoder = new TextDecoder()
    for await (const chunk of stream) {
      const text = decoder.decode(chunk, { stream: true })
      output += text
      process.stdout.write(text)
    }
  }
  await Promise.all([show(child.stdout), show(child.stderr)])
  return { ok: (await child.exited) === 0, output }
}

async function step(name: string, command: readonly string[]): Promise<StepResult> {
  const { ok } = await run(name, command)
  return { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 }
}

async function conformance(): Promise<StepResult> {
  const command = suiteCommand()
  if (command) return await tests('conformance on deno', command)
  console.log('\n== conformance on deno: skipped, deno is not on the PATH (npm install -g deno)')
  return { passed: 0, failed: 0, skipped: 1 }
}

/** Counts of the closing lines; a run that ended badly without a failed test counts as one. */
async function tests(name: string, command: readonly string[]): Promise<StepResult> {
  const { ok, output } = await run(name, command)
  const plain = Bun.stripANSI(output)
  const count = (what: string): number =>
    Number(new RegExp(`^\\s*(\\d+) ${what}$`, 'm').exec(plain)?.[1] ?? 0)
  const failed = count('fail') + count('error') + count('errors')
  return {
    passed: count('pass'),
    failed: ok ? failed : Math.max(1, failed),
    skipped: count('skip') + count('todo'),
  }
}

const bin = (name: string): string => `node_modules/.bin/${name}`
const results = [
  await step('format', [bin('biome'), 'format', '.']),
  await step('lint', [bin('biome'), 'lint', '--error-on-warnings', '.']),
  await step('types', [bin('tsc'), '--noEmit']),
  await step('types of the page', [bin('tsc'), '-p', 'actors/control/page']),
  ...(values.fast ? [] : [await tests('tests', [process.execPath, 'test']), await conformance()]),
]
const sum = (of: keyof StepResult): number =>
  results.reduce((total, result) => total + result[of], 0)
const skipped = sum('skipped') > 0 ? `, ${sum('skipped')} skipped` : ''
console.log(`\n${sum('passed')} passed, ${sum('failed')} failed${skipped}`)
process.exit(sum('failed') === 0 ? 0 : 1)
