// The first part of an image run: folders to image stores. Files are decoded here, in the main thread of the
// control process, a few ahead of the one that is written; what cannot be read is skipped and named.
import { decodeImage, ImageError } from '../../models/images/decode.ts'
import {
  type ImageStoreEncoder,
  ImageStoreError,
  imageStoreEncoder,
  type Normalisation,
  openImageStore,
} from '../../models/images/image-store.ts'
import { assert } from '../../protocol/assert.ts'
import { DiskError, type Disk } from '../../runtime/environment.ts'
import type { RunEvent } from '../events.ts'
import { classesIn, filesOf, holdOut, type ImageFile, ImageFolderError } from './folder.ts'

export interface PreparedImages extends Normalisation {
  /** Paths of the stores. */
  readonly train: string
  readonly test: string
  readonly classes: readonly string[]
  readonly sizes: { readonly train: number; readonly test: number }
  readonly skipped: readonly Skipped[]
}

export interface Skipped {
  readonly name: string
  readonly reason: string
}

export interface PrepareImagesOptions {
  readonly disk: Disk
  readonly emit: (event: RunEvent) => void
  /** Where the stores go. */
  readonly folder: string
  readonly data: string
  readonly test?: string
  readonly size: number
  readonly seed: number
}

const PREPARED = 'prepared.json'
/** Files that are decoded at a time: what is decoded waits for its turn in memory. */
const AHEAD_MAX = 16

/** Throws `ImageFolderError` where there is nothing to train on. */
export async function prepareImages(options: PrepareImagesOptions): Promise<PreparedImages> {
  const { disk, folder, data, seed } = options
  const known = reusable(options)
  if (known) return known
  const classes = classesIn(disk, data)
  const all = filesOf(disk, data, classes)
  const files =
    options.test === undefined
      ? holdOut(all, seed)
      : { train: all, test: filesOf(disk, options.test, classes) }
  disk.makeFolder(folder)
  try {
    return await writeStores(options, { classes, files })
  } catch (error) {
    // Half a set would be in the way of nobody, but it would look like a whole one.
    for (const path of Object.values(storesIn(folder))) if (disk.exists(path)) disk.remove(path)
    throw error
  }
}

/** What was prepared from the same options, where it is still there as a whole. */
function reusable(options: PrepareImagesOptions): PreparedImages | undefined {
  const { disk, folder } = options
  const path = `${folder}/${PREPARED}`
  if (!disk.exists(path)) return undefined
  const { from, ...prepared } = JSON.parse(new TextDecoder().decode(disk.read(path))) as Written
  if (JSON.stringify(from) !== JSON.stringify(sourceOf(options))) return undefined
  // The folder may have been moved since.
  const stores = storesIn(folder)
  const isWhole = (set: 'train' | 'test'): boolean =>
    disk.exists(stores[set]) && countIn(disk, stores[set]) === prepared.sizes[set]
  return isWhole('train') && isWhole('test') ? { ...prepared, ...stores } : undefined
}

function countIn(disk: Disk, path: string): number | undefined {
  try {
    return openImageStore(disk.map(path)).count
  } catch (error) {
    if (error instanceof ImageStoreError || error instanceof DiskError) return undefined
    throw error
  }
}

interface Written extends PreparedImages {
  readonly from: ReturnType<typeof sourceOf>
}

/** What the stores depend on. */
function sourceOf({ data, test, size, seed }: PrepareImagesOptions) {
  return { data, test: test ?? null, size, seed }
}

function storesIn(folder: string): { readonly train: string; readonly test: string } {
  return { train: `${folder}/train.images`, test: `${folder}/test.images` }
}

async function writeStores(
  options: PrepareImagesOptions,
  {
    classes,
    files,
  }: { readonly classes: readonly string[]; readonly files: ReturnType<typeof holdOut> },
): Promise<PreparedImages> {
  const { disk, folder, emit } = options
  const { train, test } = storesIn(folder)
  const total = files.train.length + files.test.length
  emit({ type: 'phase', phase: 'prepare', total, unit: 'images' })
  const skipped: Skipped[] = []
  let done = 0
  const write = (path: string, set: readonly ImageFile[], given?: Normalisation) =>
    writeStore(options, { path, set, classes, ...(given && { given }) }, (file, reason) => {
      done += 1
      if (reason !== undefined) skipped.push({ name: file.name, reason })
      if (done % PROGRESS_EVERY === 0 || done === total) {
        emit({ type: 'progress', phase: 'prepare', done, total })
      }
    })
  const trained = await write(train, files.train)
  const { mean, deviation } = trained
  const tested = await write(test, files.test, { mean, deviation })
  for (const one of skipped) emit({ type: 'skipped', ...one })
  const sizes = { train: trained.count, test: tested.count }
  checkSizes(options, sizes, skipped)
  checkClasses(options, classes, trained.labels)
  const prepared: PreparedImages = { train, test, classes, sizes, mean, deviation, skipped }
  const written: Written = { ...prepared, from: sourceOf(options) }
  disk.write(`${folder}/${PREPARED}`, new TextEncoder().encode(JSON.stringify(written)))
  return prepared
}

const PROGRESS_EVERY = 50

function checkSizes(
  { data, test = data }: PrepareImagesOptions,
  sizes: PreparedImages['sizes'],
  [first]: readonly Skipped[],
): void {
  const why = first ? `; ${first.name}: ${first.reason}` : ''
  if (sizes.train === 0) throw new ImageFolderError(`${data} holds no image that can be read${why}`)
  if (sizes.test === 0) throw new ImageFolderError(`${test} holds no test image${why}`)
}

/** A class that no image trains would be predicted never, and nobody would be told. */
function checkClasses(
  { data }: PrepareImagesOptions,
  classes: readonly string[],
  trained: ReadonlySet<number>,
): void {
  const missing = classes.find((_, label) => !trained.has(label))
  if (missing === undefined) return
  const advice = 'add images, or take the folder away'
  throw new ImageFolderError(`${data}/${missing} holds no image that can be read: ${advice}`)
}

async function writeStore(
  { disk, size }: PrepareImagesOptions,
  {
    path,
    set,
    classes,
    given,
  }: {
    readonly path: string
    readonly set: readonly ImageFile[]
    readonly classes: readonly string[]
    readonly given?: Normalisation
  },
  onDone: (file: ImageFile, skippedFor?: string) => void,
): Promise<Normalisation & { readonly count: number; readonly labels: ReadonlySet<number> }> {
  if (disk.exists(path)) disk.remove(path)
  const appender = disk.append(path)
  const encoder: ImageStoreEncoder = imageStoreEncoder({ size, classes })
  let count = 0
  const labels = new Set<number>()
  try {
    await inOrder(
      set,
      (file) => decodeFile(disk, file, size),
      (file, decoded) => {
        if (typeof decoded === 'string') return onDone(file, decoded)
        appender.append(encoder.add({ planes: decoded, label: file.label, name: file.name }))
        labels.add(file.label)
        count += 1
        onDone(file)
      },
    )
    appender.append(encoder.close(given))
  } finally {
    appender.close()
  }
  return { ...encoder.normalisation, count, labels }
}

/** Planes, or why there are none. */
async function decodeFile(
  disk: Disk,
  { path }: ImageFile,
  size: number,
): Promise<Uint8Array | string> {
  try {
    return await decodeImage(disk.read(path), { size })
  } catch (error) {
    if (error instanceof ImageError) return error.message
    // A folder among the files, or a file that may not be read.
    if (error instanceof DiskError && error.constructor === DiskError) return error.message
    throw error
  }
}

/** Work on at most `AHEAD_MAX` items at a time; results are taken in the order of the items. */
async function inOrder<T, R>(
  items: readonly T[],
  work: (item: T) => Promise<R>,
  take: (item: T, result: R) => void,
): Promise<void> {
  const ahead: { item: T; result: Promise<R> }[] = []
  const takeFirst = async (): Promise<void> => {
    const first = ahead.shift()
    assert(first !== undefined, 'something is under way')
    take(first.item, await first.result)
  }
  for (const item of items) {
    if (ahead.length >= AHEAD_MAX) await takeFirst()
    const result = work(item)
    // It is heard of when its turn comes.
    result.catch(() => {})
    ahead.push({ item, result })
  }
  while (ahead.length > 0) await takeFirst()
}
