import { afterEach, describe, expect, setSystemTime, test } from 'bun:test'
import {
  planVoices,
  SynthesisError,
  speakDigits,
  type VoicePlan,
} from '../../../actors/demo/synthetic-digits.ts'
import { decodeWav } from '../../../models/sequence/audio.ts'
import { simulatedDisk } from '../../../runtime/simulation/disk.ts'

/** One plan of each accent (0) or variant (1). */
function firstOf(part: 0 | 1): ReadonlyMap<string, VoicePlan> {
  const everyVoice = planVoices(1, 10_000)
  return new Map(everyVoice.map((plan) => [plan.voice.split('+')[part] ?? '', plan]))
}

async function spoken(seed: number, takes = 1): Promise<ReadonlyMap<string, Uint8Array>> {
  const disk = simulatedDisk()
  // Always the same voice: what differs is how it speaks.
  await speakDigits(disk, 'digits', { speaker: 'voice00', voice: 'en-us+f1', seed }, takes)
  return disk.files
}

afterEach(() => void setSystemTime())

describe('planVoices', () => {
  test('draws different voices, the same for a seed', () => {
    const plans = planVoices(3, 24)
    expect(planVoices(3, 24)).toEqual(plans)
    expect(planVoices(4, 24)).not.toEqual(plans)
    expect(new Set(plans.map(({ voice }) => voice)).size).toBe(24)
    expect(new Set(plans.map(({ speaker }) => speaker)).size).toBe(24)
    const accents = new Set(plans.map(({ voice }) => voice.split('+')[0]))
    expect(accents.size).toBeGreaterThan(5)
  })
})

describe('speakDigits', () => {
  test('writes other bytes for another seed', async () => {
    const other = await spoken(2)
    for (const [path, bytes] of await spoken(1)) expect(other.get(path)).not.toEqual(bytes)
  })

  test('every digit and take is a file of its own at 8 kHz, and no two sound the same', async () => {
    const files = await spoken(1, 2)
    expect([...files.keys()].sort()).toEqual(
      Array.from({ length: 20 }, (_, i) => `digits/${i >> 1}_voice00_${i % 2}.wav`),
    )
    const distinct = new Set([...files.values()].map((bytes) => Bun.hash(bytes)))
    expect(distinct.size).toBe(20)
  })

  test('leaves next to no silence around a word', async () => {
    for (const [path, bytes] of await spoken(5)) {
      const { samples, rate } = decodeWav(bytes, path)
      expect(rate).toBe(8_000)
      const seconds = samples.length / rate
      expect(seconds).toBeGreaterThan(0.1)
      expect(seconds).toBeLessThan(1.5)
      const largest = samples.reduce((max, value) => Math.max(max, Math.abs(value)), 0)
      for (const edge of [samples[0], samples.at(-1)]) {
        expect(Math.abs(edge ?? 0)).toBeGreaterThan(0.015 * largest)
      }
    }
  })

  test('espeak-ng knows every accent', async () => {
    for (const plan of firstOf(0).values()) {
      expect(await speakDigits(simulatedDisk(), 'digits', plan, 0)).toBe(0)
    }
  })

  // espeak-ng says nothing of a variant that it does not know, and speaks without it; and it seeds its
  // noise, where a variant has noise, with the time of day.
  test('every variant sounds different, and the same at any time', async () => {
    const speakAll = async (time: string): Promise<(number | bigint)[]> => {
      setSystemTime(new Date(time))
      const heard: (number | bigint)[] = []
      for (const variant of ['', ...firstOf(1).keys()]) {
        const disk = simulatedDisk()
        const plan = { speaker: 'one', voice: `en-us+${variant}`, seed: 1 }
        await speakDigits(disk, 'digits', plan, 1)
        heard.push(Bun.hash([...disk.files.values()].map((bytes) => Bun.hash(bytes)).join()))
      }
      return heard
    }
    const heard = await speakAll('2001-02-03T04:05:06Z')
    expect(new Set(heard).size).toBe(heard.length)
    expect(await speakAll('2011-12-13T14:15:16Z')).toEqual(heard)
  }, 30_000)

  test('refuses a voice that espeak-ng does not have', async () => {
    const plan = { speaker: 'nobody', voice: 'xx-none', seed: 1 }
    expect(await speakDigits(simulatedDisk(), 'd', plan, 1).catch((error) => error)).toEqual(
      new SynthesisError('espeak-ng has no voice xx-none'),
    )
  })
})
