// The module of a probing process: opens a session on one device, multiplies two small matrices on it and
// says how that went. It may crash or hang: whoever started it waits for its end and not for ever.
import { availableParallelism } from 'node:os'
import process from 'node:process'
import { openSession, productGraph } from '../models/session.ts'
import { alignedFloat32, tensorOf } from '../protocol/tensor.ts'
import { realEnvironment } from '../runtime/index.ts'
import { openParent } from '../runtime/worker/parent.ts'
import { PROBE_MARK, type ProbeResult } from './devices.ts'

const { clock } = realEnvironment({ seed: 0 })

async function probe(device: string): Promise<ProbeResult> {
  const begun = clock.now()
  const session = await openSession(productGraph(), { threads: 1, device })
  const { product } = await session.run({
    x: tensorOf(Float32Array.of(1, 2), [1, 2]),
    w: tensorOf(Float32Array.of(1, 2, 3, 4), [2, 2]),
  })
  const values = product ? [...alignedFloat32(product.bytes)] : []
  if (values[0] !== 37 || values[1] !== 54) {
    return { ok: false, error: `it multiplies wrongly: ${values.join(' ')} instead of 37 54` }
  }
  const cores = device === 'cpu' ? `${availableParallelism()} cores, ` : ''
  return { ok: true, details: `${cores}answered in ${Math.ceil(clock.now() - begun)} ms` }
}

const argument = (await openParent(() => process.exit(1))) as { readonly device: string }
const result = await probe(argument.device).catch((error: unknown): ProbeResult => {
  const text = error instanceof Error ? error.message : String(error)
  return { ok: false, error: text }
})
process.stdout.write(`\n${PROBE_MARK}${JSON.stringify(result)}\n`, () => process.exit(0))
