// What a member has to offer, by name and amount: `{ gpu: 2, memoryGiB: 64 }`. The names are the user's.
import { DecodeError, type Infer, record, type Schema } from '../../protocol/schema.ts'

const amount: Schema<number> = {
  decode(value, at) {
    if (isAmount(value)) return value
    throw new DecodeError(at, 'an amount of 0 or more', value)
  },
}

export const Resources = record(amount)
export type Resources = Infer<typeof Resources>

/** Throws `RangeError` naming the resource. */
export function checkResources(resources: Resources): void {
  for (const [name, value] of Object.entries(resources)) {
    if (!isAmount(value)) throw new RangeError(`${name}: ${value}, legal is 0 or more`)
  }
}

export function describeResources(resources: Resources): string {
  const parts = Object.entries(resources).map(([name, value]) => `${name}: ${value}`)
  return parts.length === 0 ? 'nothing' : `{ ${parts.join(', ')} }`
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0
}
