// The same workloads on Erlang/OTP, where it is installed.
import { fileURLToPath } from 'node:url'
import type { Result, Round, RoundOptions, Workload } from './framework.ts'

export const howToInstall = 'apt-get install -y --no-install-recommends erlang-base'

export interface ErlangRound extends Round {
  /** Of memory, for each of so many idle processes. */
  readonly bytesIdle: number
}

export function hasErlang(): boolean {
  return Bun.which('escript') !== null && Bun.which('erl') !== null
}

export async function erlangRound(
  { workloads, warmMs, repeats }: Omit<RoundOptions, 'framework' | 'folder'>,
  idle: number,
): Promise<ErlangRound> {
  const script = fileURLToPath(new URL('./erlang.escript', import.meta.url))
  const named = workloads.flatMap(({ name, iterations, size }) => [name, iterations, size])
  const parameters = [warmMs, repeats, idle, ...named].map(String)
  const child = Bun.spawn(['escript', script, ...parameters], { stderr: 'inherit' })
  const lines = (await child.stdout.text()).trim().split('\n')
  const status = await child.exited
  if (status !== 0) throw new Error(`escript ended with status ${status}`)
  const fields = new Map(lines.map((line) => [line.split(' ')[0], line.split(' ').slice(1)]))
  const field = (name: string, index: number): string => {
    const value = fields.get(name)?.[index]
    if (value === undefined) throw new Error(`erlang.escript said nothing of ${name}`)
    return value
  }
  const result = ({ name }: Workload): Result => ({
    name,
    rate: Number(field(name, 0)),
    count: Number(field(name, 1)),
  })
  return {
    version: `OTP ${field('otp', 0)}, ${field('otp', 1)} schedulers`,
    results: workloads.map(result),
    bytesIdle: Number(field('bytes', 0)),
  }
}
