// What a shard keeps on disk: a snapshot and the journal since. A snapshot is a safetensors file with
// the rest in its metadata; records are MessagePack. Fencing: a folder belongs to the highest
// incarnation that opened it, and a former owner is refused.
import { decodeSafetensors, encodeSafetensors } from '../models/safetensors.ts'
import { assert } from '../protocol/assert.ts'
import { decodeRecord, encodeRecord } from '../protocol/codec.ts'
import { type Infer, list, number, struct, text, u32, union } from '../protocol/schema.ts'
import { alignedFloat32, tensorOf } from '../protocol/tensor.ts'
import { Adjustment, PhaseStart, Push } from '../protocol/training.ts'
import type { Disk } from '../runtime/environment.ts'
import { type Journal, openJournal } from '../runtime/journal.ts'
import {
  adjustShard,
  applyPush,
  beginPhase,
  decidePush,
  emptyShard,
  fenceTrainer,
  holdPush,
  recipeOf,
  type ShardState,
} from './shard-state.ts'

const Record = union({
  begin: { start: PhaseStart },
  push: { push: Push },
  fence: { trainer: text, incarnation: u32 },
  adjust: { adjustment: Adjustment },
})
export type Record = Infer<typeof Record>
const Held = list(struct({ push: Push, scale: number }))

export interface ShardStore {
  readonly shard: ShardState
  readonly journalBytes: number
  /** Returns when the record would survive the death of this process. */
  append(record: Record): void
  /** Writes a snapshot and starts the journal afresh. */
  checkpoint(): void
  close(): void
}

export class FormerOwnerError extends Error {
  override readonly name = 'FormerOwnerError'
}

/** Restores the shard of a folder, bit for bit as of its last journalled record. */
export function openShardStore(
  disk: Disk,
  options: { folder: string; length: number; incarnation: number },
): ShardStore {
  const { folder, length, incarnation } = options
  disk.makeFolder(folder)
  takeOwnership(disk, folder, incarnation)
  const snapshotPath = `${folder}/snapshot.safetensors`
  const snapshot = disk.exists(snapshotPath) ? readSnapshot(disk.read(snapshotPath)) : undefined
  const shard = snapshot?.shard ?? emptyShard(length)
  assert(shard.parameters.length === length, `the shard in ${folder} has ${length} parameters`)
  const journal: Journal = openJournal(disk, {
    folder,
    from: snapshot?.journalFile ?? 0,
    replay: (bytes) => replay(shard, Record.decode(decodeRecord(bytes), '', noRefs)),
  })
  return {
    shard,
    get journalBytes() {
      return journal.bytes
    },
    append(record) {
      assertOwner(disk, folder, incarnation)
      journal.append(encodeRecord(record))
    },
    checkpoint() {
      assertOwner(disk, folder, incarnation)
      journal.startAfresh((file) => disk.write(snapshotPath, writeSnapshot(shard, file)))
    },
    close: () => journal.close(),
  }
}

/** What a record does to the shard: the same when it is new and when it is read back. */
export function replay(shard: ShardState, record: Record): void {
  switch (record.type) {
    case 'begin':
      return beginPhase(shard, record.start)
    case 'fence':
      return fenceTrainer(shard, record.trainer, record.incarnation)
    case 'adjust':
      return void adjustShard(shard, record.adjustment)
    case 'push': {
      const decided = decidePush(shard, record.push)
      if (decided.type === 'accept') applyPush(shard, record.push, decided.scale)
      if (decided.type === 'hold') holdPush(shard, record.push, decided.scale)
    }
  }
}

function takeOwnership(disk: Disk, folder: string, incarnation: number): void {
  assertOwner(disk, folder, incarnation)
  disk.write(`${folder}/owner`, new TextEncoder().encode(`${incarnation}\n`))
}

function assertOwner(disk: Disk, folder: string, incarnation: number): void {
  const path = `${folder}/owner`
  const owner = disk.exists(path) ? Number(new TextDecoder().decode(disk.read(path))) : 0
  if (owner > incarnation) {
    throw new FormerOwnerError(`${folder} belongs to incarnation ${owner}, not ${incarnation}`)
  }
}

interface SnapshotHeader {
  readonly journalFile: number
  readonly start: Omit<PhaseStart, 'parameters'> | undefined
  readonly scalars: Readonly<globalThis.Record<string, number>>
  readonly plain: Pick<ShardState, 'phase' | 'version' | 'counts' | 'staleness'>
  /** Absent in snapshots of versions that could not be adjusted. */
  readonly adjusted?: { readonly change: number; readonly rateScale: number }
  readonly applied: { readonly below: number; readonly above: readonly number[] }
  readonly fences: readonly (readonly [string, number])[]
  readonly clocks: readonly (readonly [string, number])[]
}

const SLOT = 'optimizer/'

function writeSnapshot(shard: ShardState, journalFile: number): Uint8Array {
  const { phase, version, counts, staleness, recipe, applied } = shard
  const header: SnapshotHeader = {
    journalFile,
    start: recipe?.start,
    scalars: recipe?.optimizerState.scalars ?? {},
    plain: { phase, version, counts, staleness },
    adjusted: { change: shard.change, rateScale: recipe?.rateScale ?? 1 },
    applied: { below: applied.below, above: [...applied.above] },
    fences: [...shard.fences],
    clocks: [...shard.clocks],
  }
  const tensors = new Map([
    ['parameters', tensorOf(shard.parameters)],
    ['average', tensorOf(shard.average)],
  ])
  for (const [name, slot] of Object.entries(recipe?.optimizerState.vectors ?? {})) {
    tensors.set(`${SLOT}${name}`, tensorOf(slot))
  }
  const held = encodeRecord([...shard.held.values()])
  tensors.set('held', { dtype: 'uint8', shape: [held.byteLength], bytes: held })
  return encodeSafetensors(tensors, { shard: JSON.stringify(header) })
}

function readSnapshot(content: Uint8Array): { shard: ShardState; journalFile: number } {
  const { tensors, metadata } = decodeSafetensors(content)
  const header = JSON.parse(metadata.shard ?? '') as SnapshotHeader
  const values = (name: string): Float32Array => {
    const found = tensors.get(name)
    assert(found !== undefined, `a snapshot has ${name}`)
    return alignedFloat32(found.bytes).slice()
  }
  const parameters = values('parameters')
  const { change, rateScale } = header.adjusted ?? { change: 0, rateScale: 1 }
  const begun = header.start && recipeOf(header.start, parameters.length)
  const recipe = begun && { ...begun, rateScale }
  if (recipe) {
    const names = recipe.transform.slots
    const vectors = Object.fromEntries(names.map((name) => [name, values(`${SLOT}${name}`)]))
    recipe.optimizerState = { scalars: { ...header.scalars }, vectors }
  }
  const held = Held.decode(
    decodeRecord(tensors.get('held')?.bytes ?? encodeRecord([])),
    'held',
    noRefs,
  )
  return {
    journalFile: header.journalFile,
    shard: {
      ...header.plain,
      staleness: [...header.plain.staleness],
      parameters,
      average: values('average'),
      scratch: new Float32Array(parameters.length),
      recipe,
      applied: { below: header.applied.below, above: new Set(header.applied.above) },
      held: new Map(held.map((item) => [item.push.sequence, item])),
      fences: new Map(header.fences),
      clocks: new Map(header.clocks),
      change,
    },
  }
}

function noRefs(): never {
  throw new Error('a journal holds no refs')
}
