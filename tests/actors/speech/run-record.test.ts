import { expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { completeOptions } from '../../../actors/speech/options.ts'
import { RunRecordError, saveRecord } from '../../../actors/run/record.ts'
import { openRecord } from '../../../actors/speech/run-record.ts'
import { realEnvironment } from '../../../runtime/index.ts'

const { disk } = realEnvironment({ seed: 1 })

function inFolder(use: (out: string) => void): void {
  const out = mkdtempSync(join(tmpdir(), 'troupe-record-'))
  try {
    use(out)
  } finally {
    rmSync(out, { recursive: true, force: true })
  }
}
const optionsIn = (out: string, changes: object = {}) =>
  completeOptions({ data: 'digits', out, ...changes })

test('a run begins in no folder that holds a corpus or shards of somebody else: nothing is removed', () =>
  inFolder((out) => {
    mkdirSync(join(out, 'corpus'))
    writeFileSync(join(out, 'corpus/mine'), 'precious')
    expect(() => openRecord(disk, optionsIn(out))).toThrow(RunRecordError)
    expect(disk.exists(join(out, 'corpus/mine'))).toBe(true)
  }))

test('a run that never trained begins anew with other options, without what it had prepared', () =>
  inFolder((out) => {
    saveRecord(disk, out, openRecord(disk, optionsIn(out)))
    disk.makeFolder(join(out, 'corpus'))
    const again = openRecord(disk, optionsIn(out, { seed: 2 }))
    expect(again.options.seed).toBe(2)
    expect(disk.exists(join(out, 'corpus'))).toBe(false)
  }))

test('a run that trained is resumed, with its options and a life more, or left alone', () =>
  inFolder((out) => {
    saveRecord(disk, out, { ...openRecord(disk, optionsIn(out)), isTraining: true })
    expect(() => openRecord(disk, optionsIn(out))).toThrow(`give --resume ${out}`)
    const resume = true
    expect(() => openRecord(disk, optionsIn(out, { resume, seed: 2 }))).toThrow(
      'seed: 2; the run to resume has 1, and keeps it',
    )
    const chaos = 'kill:shard@50%'
    expect(openRecord(disk, optionsIn(out, { resume, chaos })).life).toBe(1)
  }))

test('a damaged record is named, with what to do', () =>
  inFolder((out) => {
    writeFileSync(join(out, 'run.json'), '{"options":')
    expect(() => openRecord(disk, optionsIn(out))).toThrow(`${out}/run.json: damaged`)
  }))
