/**
 * Runs a module in a process of its own and reads the one JSON value that it prints. Throws where the
 * process fails.
 */
export async function runJson<T>(module: string, parameters: readonly string[]): Promise<T> {
  const child = Bun.spawn([process.execPath, module, ...parameters], {
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'inherit',
    // Packages choose their fast builds by it.
    env: { ...process.env, NODE_ENV: 'production' },
  })
  const printed = await child.stdout.text()
  const status = await child.exited
  if (status !== 0) throw new Error(`${module} ended with status ${status}`)
  return JSON.parse(printed) as T
}
