// A folder per class, images inside: what is there, in an order that does not depend on the disk.
import { randomFor } from '../../protocol/random.ts'
import type { Disk } from '../../runtime/environment.ts'

export interface ImageFile {
  readonly path: string
  /** CLASS/FILE. */
  readonly name: string
  readonly label: number
}

export class ImageFolderError extends Error {
  override readonly name = 'ImageFolderError'
}

/** Classes in order of their names. Throws `ImageFolderError`. */
export function classesIn(disk: Disk, folder: string): readonly string[] {
  if (!disk.exists(folder)) throw new ImageFolderError(`${folder}: no such folder`)
  const classes = visible(disk.list(folder)).filter((name) => isFolder(disk, `${folder}/${name}`))
  const form = 'give a folder that has a folder of images for each class'
  if (classes.length === 0) throw new ImageFolderError(`${folder} holds no folders: ${form}`)
  const [only] = classes
  if (classes.length === 1) {
    throw new ImageFolderError(`${folder} holds one class only, ${only}: ${form}`)
  }
  return classes
}

/** Every file of the classes; `extra` classes in the folder are an error, missing ones are not. */
export function filesOf(
  disk: Disk,
  folder: string,
  classes: readonly string[],
): readonly ImageFile[] {
  const unknown = classesIn(disk, folder).find((name) => !classes.includes(name))
  if (unknown !== undefined) {
    throw new ImageFolderError(`${folder}/${unknown}: training has no class of this name`)
  }
  return classes.flatMap((name, label) => {
    const inside = `${folder}/${name}`
    if (!disk.exists(inside)) return []
    return visible(disk.list(inside)).map((file) => ({
      path: `${inside}/${file}`,
      name: `${name}/${file}`,
      label,
    }))
  })
}

/** Every tenth file of each class, drawn by the seed, is kept for the test; an only one is trained on. */
export function holdOut(
  files: readonly ImageFile[],
  seed: number,
): { readonly train: readonly ImageFile[]; readonly test: readonly ImageFile[] } {
  const random = randomFor(seed, 'hold out')
  const byLabel = Map.groupBy(
    files.map((file) => ({ file, at: random.next() })),
    ({ file }) => file.label,
  )
  const test = new Set<ImageFile>()
  for (const own of byLabel.values()) {
    own.sort((a, b) => a.at - b.at)
    const kept = Math.min(Math.ceil(own.length / 10), own.length - 1)
    for (const { file } of own.slice(0, kept)) test.add(file)
  }
  return {
    train: files.filter((file) => !test.has(file)),
    test: files.filter((file) => test.has(file)),
  }
}

function visible(names: readonly string[]): readonly string[] {
  return names.filter((name) => !name.startsWith('.')).sort()
}

function isFolder(disk: Disk, path: string): boolean {
  try {
    disk.list(path)
    return true
  } catch {
    return false
  }
}
