// Tensors whose bytes lie in a file beside the model, and what is thrown where a file cannot be read.

export class OnnxFileError extends Error {
  override readonly name = 'OnnxFileError'
}

/** The content of a file beside the model, by the name that the model calls it by. */
export type External = ((location: string) => Uint8Array) | undefined

/** The bytes of a tensor that lie in a file beside the model. */
export function externalBytes(
  name: string,
  place: ReadonlyMap<string, string>,
  external: External,
): Uint8Array {
  const location = place.get('location') ?? ''
  const what = `tensor ${name}: external data in ${JSON.stringify(location)}`
  if (!external) throw new OnnxFileError(`${what} is not at hand; give the folder of the model`)
  let file: Uint8Array
  try {
    file = external(location)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : cause
    throw new OnnxFileError(`${what} cannot be read: ${why}`, { cause })
  }
  const offset = Number(place.get('offset') ?? 0)
  const length = Number(place.get('length') ?? file.length - offset)
  const isInside = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
  if (isInside && offset >= 0 && length >= 0 && offset + length <= file.length) {
    return file.slice(offset, offset + length)
  }
  throw new OnnxFileError(`${what}: bytes ${offset} to ${offset + length} of ${file.length}`)
}
