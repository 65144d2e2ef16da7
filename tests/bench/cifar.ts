// CIFAR-10, from folders of images to accuracy: two asynchronous replicas within ten minutes, and whether
// they reach what one reaches with as many images. Needs a folder with `train` and `test` inside.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type ImageOptions, type ImageReport, image, launch } from '../../actors/index.ts'
import { type Bench, median, type Row, row } from './rows.ts'

const EPOCHS = 30

async function train(options: ImageOptions): Promise<ImageReport> {
  await using run = await launch({ task: image(options) })
  return await run.done
}

export const cifarBench: Bench = async ({ images, seeds }) => {
  if (!images)
    throw new Error('this benchmark needs CIFAR-10: give --images DIR or set TROUPE_SHARED')
  const folder = mkdtempSync(join(tmpdir(), 'troupe-cifar-'))
  try {
    const rows: Row[] = []
    const tops: { readonly one: number; readonly two: number }[] = []
    for (const seed of seeds.slice(0, 3)) {
      const reports: ImageReport[] = []
      for (const workers of [2, 1]) {
        const out = `${folder}/${seed}-${workers}`
        const data = { data: `${images}/train`, test: `${images}/test` }
        reports.push(await train({ ...data, out, seed, workers, epochs: EPOCHS }))
      }
      const [two, one] = reports
      if (!two || !one) continue
      const name = (workers: number) => `seed ${seed}, ${workers} replica${workers > 1 ? 's' : ''}`
      rows.push(
        row(`${name(2)}: top-1`, two.accuracy.top1, '%', 77),
        row(`${name(2)}: took`, two.seconds, 's', 600),
        row(`${name(2)}: throughput`, two.throughput.imagesPerSecond, 'images/s'),
        row(`${name(2)}: updates lost`, two.updates.acknowledged - two.updates.applied, ''),
        row(`${name(1)}: top-1`, one.accuracy.top1, '%'),
        row(`${name(1)}: throughput`, one.throughput.imagesPerSecond, 'images/s'),
      )
      tops.push({ one: one.accuracy.top1, two: two.accuracy.top1 })
    }
    const mean = (of: 'one' | 'two') => tops.reduce((sum, top) => sum + top[of], 0) / tops.length
    return [
      ...rows,
      row(
        'top-1 of two replicas, median of the seeds',
        median(tops.map(({ two }) => two)),
        '%',
        77,
      ),
      row('two replicas less one, mean of the seeds', mean('two') - mean('one'), 'points', -1.5),
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
