// Kaldi data directories: what fits together is read, everything else is named and the run goes on.
import { describe, expect, test } from 'bun:test'
import { encodeWav } from '../../../models/sequence/audio.ts'
import { CorpusError, loadUtterances, type Skipped } from '../../../models/sequence/corpus.ts'
import { isKaldiDirectory, openKaldiDirectory } from '../../../models/sequence/kaldi-directory.ts'
import { filesOf } from './corpus-files.ts'

const sound = (count: number, first = 0): Uint8Array =>
  encodeWav(
    Float32Array.from({ length: count }, (_, n) => first + n),
    1000,
  )

const good = {
  'data/wav.scp': 'u1 /audio/one.wav\nu2 data/two.wav\r\n\nu3 three.wav\n',
  'data/text': 'u1 five  six\nu2 seven\nu3\n',
  'data/utt2spk': 'u1 ada\nu2 bo\nu3 bo\n',
  '/audio/one.wav': sound(10),
  'data/two.wav': sound(20),
  'data/three.wav': sound(30),
}

const open = (changes: Record<string, string | Uint8Array> = {}) =>
  openKaldiDirectory('data', filesOf({ ...good, ...changes }))

describe('openKaldiDirectory', () => {
  test('utterances have words, speaker and sound; paths may start at the folder', async () => {
    const { utterances, skipped } = open()
    expect(skipped).toEqual([])
    expect(utterances.map(({ id, speaker, words }) => [id, speaker, ...words])).toEqual([
      ['u1', 'ada', 'five', 'six'],
      ['u2', 'bo', 'seven'],
      ['u3', 'bo'],
    ])
    const lengths = await Promise.all(
      utterances.map(async ({ load }) => (await load()).samples.length),
    )
    expect(lengths).toEqual([10, 20, 30])
    expect(isKaldiDirectory('data', filesOf(good))).toBe(true)
    expect(isKaldiDirectory('/audio', filesOf(good))).toBe(false)
  })

  test('without utt2spk every utterance is its own speaker', () => {
    const { 'data/utt2spk': _, ...rest } = good
    const { utterances } = openKaldiDirectory('data', filesOf(rest))
    expect(utterances.map(({ speaker }) => speaker)).toEqual(['u1', 'u2', 'u3'])
  })

  test('bad lines, missing transcripts, missing audio and missing speakers are each named', () => {
    const { utterances, skipped } = open({
      'data/wav.scp':
        `${good['data/wav.scp']}lonely\nu1 again.wav\nu4 gone.wav\n` +
        'u5 /no/x.wav\nu6 three.wav\nu7 three.wav\n',
      'data/text': 'u1 five\nu4 one\nu5 one\nu7 one\nu8 nine\nu3 two\n',
    })
    expect(utterances.map(({ id }) => id)).toEqual(['u1', 'u3'])
    expect(new Set(skipped.map(({ name }) => name)).size).toBe(skipped.length)
    const reasons = Object.fromEntries(skipped.map(({ name, reason }) => [name, reason]))
    expect(reasons).toMatchObject({
      'wav.scp:5': 'nothing after lonely',
      'wav.scp:6': 'u1 a second time',
      u4: 'no audio file gone.wav',
      u5: 'no audio file /no/x.wav',
      u2: 'no transcript in text',
      u6: 'no transcript in text',
      u7: 'no speaker in utt2spk',
      u8: 'a transcript without audio',
    })
  })

  test('a command is never run, and is refused by name', () => {
    const { utterances, skipped } = open({
      'data/wav.scp': 'u1 /audio/one.wav\nu2 sox a.wav -t wav - |\nu3 | rm -rf x\n',
    })
    expect(utterances.map(({ id }) => id)).toEqual(['u1'])
    for (const id of ['u2', 'u3']) {
      expect(skipped.find(({ name }) => name === id)?.reason).toContain('commands are not run')
    }
  })

  test('segments cut recordings; half a second beyond their end is forgiven', async () => {
    const { utterances, skipped } = open({
      'data/segments':
        's1 u2 0.005 0.010\ns2 u2 0.018 0.4\ns3 u2 0.01 -1\ns4 u2 0.01 0.9\n' +
        's5 u2 0.2 0.3\ns6 u2 3 2\ns7 u2 0.1\ns8 u9 0 1\n',
      'data/text': Array.from({ length: 9 }, (_, i) => `s${i} one\n`).join(''),
      'data/utt2spk': Array.from({ length: 9 }, (_, i) => `s${i} ada\n`).join(''),
    })
    const lost: Skipped[] = []
    const cuts: Record<string, number[]> = {}
    const skip = (skipped: Skipped): number => lost.push(skipped)
    for await (const { utterance, samples } of loadUtterances(utterances, { rate: 1000, skip })) {
      cuts[utterance.id] = [samples[0]!, samples.length]
    }
    expect(cuts).toEqual({ s1: [5, 5], s2: [18, 2], s3: [10, 10] })
    expect(lost.map(({ name }) => name)).toEqual(['s4', 's5'])
    expect(lost[0]!.reason).toContain('s4: segment 0.01 to 0.9 s of a recording of 0.02 s')
    const named = skipped.map(({ name }) => name)
    expect(named).toEqual(['s6', 's7', 's8', 's0'])
  })

  test('audio that turns out to be unreadable is skipped when it is loaded', async () => {
    const { utterances } = open({ 'data/two.wav': 'no sound at all' })
    const lost: Skipped[] = []
    const loaded: string[] = []
    const skip = (skipped: Skipped): number => lost.push(skipped)
    for await (const { utterance } of loadUtterances(utterances, { rate: 1000, skip })) {
      loaded.push(utterance.id)
    }
    expect(loaded).toEqual(['u1', 'u3'])
    expect(lost).toHaveLength(1)
    expect(lost[0]!.reason).toStartWith('data/two.wav: neither RIFF WAVE nor FLAC')
  })

  test('a folder without wav.scp, without text, or without any usable utterance is refused', () => {
    const { 'data/wav.scp': _, ...noSounds } = good
    const { 'data/text': __, ...noText } = good
    for (const contents of [noSounds, noText]) {
      expect(() => openKaldiDirectory('data', filesOf(contents))).toThrow(CorpusError)
    }
    expect(() => openKaldiDirectory('elsewhere', filesOf(good))).toThrow(
      'elsewhere: no such folder',
    )
    expect(() => open({ 'data/wav.scp': 'u1 cat x |\n' })).toThrow('data: no usable utterance')
  })
})
