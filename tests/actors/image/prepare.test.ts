// Folders of images to stores: in order, held out by the seed, with what cannot be read named.
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { cpSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RunEvent } from '../../../actors/events.ts'
import { holdOut, type ImageFile, ImageFolderError } from '../../../actors/image/folder.ts'
import { type PrepareImagesOptions, prepareImages } from '../../../actors/image/prepare.ts'
import { openImageStore } from '../../../models/images/image-store.ts'
import { realEnvironment } from '../../../runtime/index.ts'
import { makeTinyImages, tinyClasses } from '../../tiny-images.ts'

const { disk } = realEnvironment({ seed: 0 })
const root = mkdtempSync(join(tmpdir(), 'troupe-prepare-'))
const data = join(root, 'images')
beforeAll(async () => await makeTinyImages(data, { perClass: 21 }))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folders = 0
function prepare(changes: Partial<PrepareImagesOptions> = {}) {
  folders += 1
  const events: RunEvent[] = []
  const folder = join(root, `prepared-${folders}`)
  const emit = (event: RunEvent) => void events.push(event)
  const options = { disk, emit, folder, data, size: 16, seed: 1, ...changes }
  return { events, folder, options, prepared: prepareImages(options) }
}

const storeAt = (path: string) => openImageStore(disk.map(path))
const namesIn = (path: string): string[] => {
  const store = storeAt(path)
  return Array.from({ length: store.count }, (_, index) => store.name(index))
}

describe('a prepared folder', () => {
  test('has every image once, in the order of its name, under the class of its folder', async () => {
    const { prepared, events } = prepare()
    const { train, test: held, classes, sizes } = await prepared
    expect(classes).toEqual([...tinyClasses])
    expect(sizes).toEqual({ train: 54, test: 9 })
    const names = namesIn(train)
    expect(names).toEqual([...names].sort())
    expect(new Set([...names, ...namesIn(held)]).size).toBe(63)
    const store = storeAt(train)
    names.forEach((name, index) => {
      expect(classes[store.labels[index]!]).toBe(name.split('/')[0]!)
    })
    expect(storeAt(held).mean).toEqual(store.mean)
    expect(events[0]).toEqual({ type: 'phase', phase: 'prepare', total: 63, unit: 'images' })
    expect(events.at(-1)).toMatchObject({ type: 'progress', done: 63 })
  })

  test('is found again where nothing changed, and made anew where the size did', async () => {
    const { prepared, options } = prepare()
    const first = await prepared
    const silent: RunEvent[] = []
    const again = await prepareImages({ ...options, emit: (event) => void silent.push(event) })
    expect(again).toEqual(first)
    expect(silent).toEqual([])
    const larger = await prepareImages({ ...options, size: 24 })
    expect(storeAt(larger.train).size).toBe(24)
  })

  test('that is half there is made anew', async () => {
    const { prepared, options } = prepare()
    const { train } = await prepared
    writeFileSync(train, disk.read(train).slice(0, 1_000))
    const again = await prepareImages(options)
    expect(storeAt(again.train).count).toBe(54)
  })

  test('says which files were skipped, and why', async () => {
    const mixed = join(root, 'mixed')
    cpSync(data, mixed, { recursive: true })
    writeFileSync(join(mixed, 'down/notes.txt'), 'no image')
    writeFileSync(join(mixed, 'down/zero.png'), '')
    cpSync(join(data, 'down'), join(mixed, 'across/inside'), { recursive: true })
    const { prepared, events } = prepare({ data: mixed, test: data })
    const { skipped, sizes } = await prepared
    expect(sizes).toEqual({ train: 63, test: 63 })
    expect(skipped.map(({ name }) => name)).toEqual([
      'across/inside',
      'down/notes.txt',
      'down/zero.png',
    ])
    const said = events.flatMap((event) => (event.type === 'skipped' ? [event.name] : []))
    expect(said).toEqual(skipped.map(({ name }) => name))
  })
})

describe('held out', () => {
  const files: ImageFile[] = Array.from({ length: 47 }, (_, index) => {
    return { path: `${index}`, name: `${index}`, label: index % 3 }
  })

  test('is a tenth of each class, by the seed', () => {
    const { train, test: held } = holdOut(files, 1)
    expect([train.length, held.length]).toEqual([41, 6])
    for (const label of [0, 1, 2]) {
      expect(held.filter((file) => file.label === label)).toHaveLength(2)
    }
    expect(holdOut(files, 1)).toEqual({ train, test: held })
    expect(holdOut(files, 2).test).not.toEqual(held)
  })

  test('is not the only image of a class', () => {
    const { train } = holdOut(files.slice(0, 3), 1)
    expect(train).toHaveLength(3)
  })
})

test('nothing is left of a preparation that failed', async () => {
  const { prepared, folder } = prepare({ test: join(root, 'nowhere') })
  await expect(prepared).rejects.toThrow(ImageFolderError)
  const broken = join(root, 'broken')
  for (const name of ['a', 'b']) {
    disk.makeFolder(join(broken, name))
    writeFileSync(join(broken, name, 'x.jpg'), 'no image')
  }
  const failed = prepare({ data: broken })
  await expect(failed.prepared).rejects.toThrow('holds no image that can be read')
  for (const each of [folder, failed.folder]) {
    expect(existsSync(join(each, 'prepared.json'))).toBe(false)
    expect(existsSync(join(each, 'train.images'))).toBe(false)
  }
})
