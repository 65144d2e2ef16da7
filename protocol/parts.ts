// Bytes to be: a header of its own and blobs that stay where they lie until they are sent, so that a
// tensor is never copied for the wire.

export interface Parts {
  readonly byteLength: number
  readonly head: Uint8Array<ArrayBuffer>
  /** The sender's memory: not written until all of it has been sent. */
  readonly blobs: readonly Uint8Array[]
  /** Where each blob begins; zeros fill what lies between. */
  readonly starts: readonly number[]
}

/**
 * The next at most `bytesMax` bytes from `from` on, which lies before the end: a view of a blob, or a
 * copy where small parts and the zeros between them have to come together.
 */
export function pieceOf(parts: Parts, from: number, bytesMax: number): Uint8Array<ArrayBuffer> {
  const { starts, blobs, head, byteLength } = parts
  const index = lastAt(starts, from)
  const blob = blobs[index]
  const start = starts[index] ?? 0
  const left = (blob ? start + blob.byteLength : head.byteLength) - from
  if (blob && left >= VIEW_BYTES_MIN && !isShared(blob)) {
    const buffer = blob.buffer as ArrayBuffer
    return new Uint8Array(buffer, blob.byteOffset + from - start, Math.min(bytesMax, left))
  }
  const bytes = new Uint8Array(Math.min(bytesMax, byteLength - from))
  let end = from + bytes.byteLength
  for (let next = index + 1; next < starts.length && starts[next]! < end; next++) {
    // What is large enough to go as it is begins the next piece.
    if (blobs[next]!.byteLength >= VIEW_BYTES_MIN) end = starts[next]!
  }
  copyInto(bytes, parts, from, index)
  return bytes.subarray(0, end - from)
}

/** All of it in one place. */
export function join(parts: Parts): Uint8Array<ArrayBuffer> {
  if (parts.blobs.length === 0) return parts.head
  const bytes = new Uint8Array(parts.byteLength)
  copyInto(bytes, parts, 0, -1)
  return bytes
}

/** Of a blob, less than this is copied rather than sent on its own. */
const VIEW_BYTES_MIN = 16_384

function copyInto(
  bytes: Uint8Array,
  { head, blobs, starts }: Parts,
  from: number,
  index: number,
): void {
  const end = from + bytes.byteLength
  const place = (part: Uint8Array, start: number): void => {
    const first = Math.max(from, start)
    const last = Math.min(end, start + part.byteLength)
    if (first < last) bytes.set(part.subarray(first - start, last - start), first - from)
  }
  if (index < 0) place(head, 0)
  for (let i = Math.max(0, index); i < starts.length && starts[i]! < end; i++) {
    place(blobs[i]!, starts[i]!)
  }
}

/** Index of the last blob that begins at or before `at`; -1 in the head. */
function lastAt(starts: readonly number[], at: number): number {
  let low = 0
  let high = starts.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (starts[middle]! <= at) low = middle + 1
    else high = middle
  }
  return low - 1
}

/** Sockets do not take shared memory. */
function isShared({ buffer }: Uint8Array): boolean {
  return typeof SharedArrayBuffer !== 'undefined' && buffer instanceof SharedArrayBuffer
}
