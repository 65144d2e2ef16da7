// The shape of MessagePack bytes, checked before anything is decoded: a few hostile bytes may claim
// millions of elements, and a decoder that believes them allocates before it finds out.

/** The bytes are not what this protocol allows; the connection they came from is closed. */
export class ProtocolError extends Error {
  override readonly name = 'ProtocolError'
}

export interface StructureLimits {
  readonly depthMax: number
  readonly elementsMax: number
}

/**
 * Walks the tokens of one value. Every element takes at least a byte, so what is still owed may never
 * exceed what is still there: the decoder then allocates in proportion to the bytes, not to the claims.
 */
export function checkStructure(bytes: Uint8Array, limits: StructureLimits): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  /** Elements still owed to each open container. */
  const open: number[] = []
  let owed = 1
  let elements = 0
  let at = 0
  while (owed > 0) {
    owed -= 1
    elements += 1
    const head = view.byteLength > at ? view.getUint8(at) : reject('truncated')
    const children = childCount(view, at, head)
    at += tokenBytes(view, at, head)
    if (at > bytes.byteLength) reject('truncated')
    if (elements > limits.elementsMax) reject(`more than ${limits.elementsMax} elements`)
    if (open.length > 0) open[open.length - 1]! -= 1
    if (children > 0) {
      owed += children
      if (owed > bytes.byteLength - at) reject('more elements claimed than bytes are left')
      open.push(children)
      if (open.length > limits.depthMax) reject(`nested deeper than ${limits.depthMax}`)
    }
    while (open.length > 0 && open[open.length - 1] === 0) open.pop()
  }
  if (at !== bytes.byteLength) reject(`${bytes.byteLength - at} trailing bytes`)
}

// The formats are those of the MessagePack specification, "Formats".
function childCount(view: DataView, at: number, head: number): number {
  if (head >= 0x80 && head <= 0x8f) return 2 * (head & 0x0f)
  if (head >= 0x90 && head <= 0x9f) return head & 0x0f
  if (head < 0xdc || head > 0xdf) return 0
  const count = lengthAt(view, at + 1, head % 2 === 0 ? 2 : 4)
  return head >= 0xde ? 2 * count : count
}

/** Fixed part and data of one token, without its children. */
function tokenBytes(view: DataView, at: number, head: number): number {
  if (head <= 0x9f || head >= 0xe0) return 1
  if (head <= 0xbf) return 1 + (head & 0x1f)
  const fixed = fixedBytes[head - 0xc0] ?? 0
  if (fixed === 0) reject(`unknown type byte 0x${head.toString(16)}`)
  const width = lengthBytes[head - 0xc0] ?? 0
  return width === 0 ? fixed : fixed + lengthAt(view, at + 1, width)
}

function lengthAt(view: DataView, at: number, width: number): number {
  if (at + width > view.byteLength) return reject('truncated')
  if (width === 1) return view.getUint8(at)
  return width === 2 ? view.getUint16(at) : view.getUint32(at)
}

// For 0xc0 .. 0xdf: nil, unused, false, true; bin 8/16/32; ext 8/16/32; float 32/64; uint; int;
// fixext 1/2/4/8/16; str 8/16/32; array 16/32; map 16/32.
const fixedBytes = [
  1, 0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5,
]
const lengthBytes = [
  0, 0, 0, 0, 1, 2, 4, 1, 2, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 0, 0, 0, 0,
]

function reject(problem: string): never {
  throw new ProtocolError(`MessagePack header: ${problem}`)
}
