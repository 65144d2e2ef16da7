// What a computation allocates in typed arrays: the same on every run, unlike the heap's size.

const counted = ['Float64Array', 'Int32Array'] as const

/** Bytes of all `new Float64Array(length)` and `new Int32Array(length)` while it runs. */
export function allocatedBytes(run: () => void): number {
  let bytes = 0
  const originals = counted.map((name) => [name, globalThis[name]] as const)
  for (const [name, Original] of originals) {
    const counting = new Proxy(Original, {
      construct(target, [source, ...rest]) {
        const made = Reflect.construct(target, [source, ...rest])
        if (typeof source === 'number') bytes += made.byteLength
        return made
      },
    })
    Object.assign(globalThis, { [name]: counting })
  }
  try {
    run()
  } finally {
    for (const [name, Original] of originals) Object.assign(globalThis, { [name]: Original })
  }
  return bytes
}
