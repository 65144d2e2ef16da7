// CIFAR-10, from folders of images to accuracy: two asynchronous replicas within ten minutes, and whether
// they reach what one reaches with as many images. Needs a folder with `train` and `test` inside.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImageOptions, type ImageReport, image, launch } from '../../actors/index.ts'
import { type Bench, median, type Row, row } from './rows.ts'

/** 400,000 images: what two replicas see in less than ten minutes. */
const EPOCHS = 40
const SEEDS_MAX = 3

async function train(options: ImageOptions): Promise<ImageReport> {
  await using run = await launch({ task: image(options) })
  return await run.done
}

export const cifarBench: Bench = async ({ images, seeds }) => {
  if (!images)
    throw new Error('this benchmark needs CIFAR-10: give --images DIR or set TROUPE_SHARED')
  const folder = mkdtempSync(join(tmpdir(), 'troupe-cifar-'))
  try {
    const chosen = seeds.slice(0, SEEDS_MAX)
    const data = { data: `${images}/train`, test: `${images}/test`, epochs: EPOCHS }
    const run = async (seed: number, workers: number): Promise<ImageReport> => {
      const report = await train({ ...data, out: `${folder}/${seed}-${workers}`, seed, workers })
      const { accuracy, seconds } = report
      console.log(
        `seed ${seed}, ${workers}: ${accuracy.top1.toFixed(1)} % in ${seconds.toFixed(0)} s`,
      )
      return report
    }
    const two: ImageReport[] = []
    for (const seed of chosen) two.push(await run(seed, 2))
    // One core each: side by side.
    const one = await Promise.all(chosen.map((seed) => run(seed, 1)))
    const top1 = (reports: readonly ImageReport[]) => reports.map(({ accuracy }) => accuracy.top1)
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length
    return [
      ...two.flatMap((report, index) => rowsOf(`seed ${chosen[index]}, 2 replicas`, report)),
      ...one.map((report, index) =>
        row(`seed ${chosen[index]}, 1 replica: top-1`, report.accuracy.top1, '%'),
      ),
      row('top-1 of two replicas, median of the seeds', median(top1(two)), '%', 77),
      row(
        'two replicas less one, mean of the seeds',
        mean(top1(two)) - mean(top1(one)),
        'points',
        -1.5,
      ),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function rowsOf(name: string, { accuracy, seconds, throughput, updates }: ImageReport): Row[] {
  return [
    row(`${name}: top-1`, accuracy.top1, '%', 77),
    row(`${name}: took`, seconds, 's', 600),
    row(`${name}: throughput`, throughput.imagesPerSecond, 'images/s'),
    row(`${name}: updates lost`, updates.acknowledged - updates.applied, ''),
  ]
}
