// PyTorch, where a Python that has it is found.
import { fileURLToPath } from 'node:url'

/** With OpenBLAS: one thread convolves 1 x 1 by BLAS, and the one that Debian falls back on is no peer. */
export const howToInstall =
  'apt-get install -y --no-install-recommends python3-torch python3-torchvision libopenblas0-pthread'

export type TorchWorkload =
  | 'train-small'
  | 'train-googlenet'
  | 'infer-googlenet'
  | 'infer-inception_v3'

/** Images a second in each memory layout. */
export interface TorchRates {
  readonly plain: number
  readonly channelsLast: number
  readonly version: string
}

/** The first Python that imports both libraries; Debian's, where another comes first on the path. */
export function pythonWithTorch(): string | undefined {
  return ['python3', '/usr/bin/python3'].find((python) => {
    if (Bun.which(python) === null) return false
    return Bun.spawnSync([python, '-c', 'import torch, torchvision'], { stderr: 'ignore' }).success
  })
}

export async function torchRates(
  python: string,
  { workload, threads, seconds }: { workload: TorchWorkload; threads: number; seconds: number },
): Promise<TorchRates> {
  const script = fileURLToPath(new URL('./images.py', import.meta.url))
  const command = [python, script, workload, `${threads}`, `${seconds}`]
  const child = Bun.spawn(command, { stdout: 'pipe', stderr: 'inherit' })
  const text = await child.stdout.text()
  if ((await child.exited) !== 0) throw new Error(`${command.join(' ')} failed`)
  return JSON.parse(text) as TorchRates
}
