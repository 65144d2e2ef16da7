// Recordings for tests, made from formulae: each digit is its own sequence of tones, each speaker has a
// pitch. A small network learns them in seconds.
import { mkdirSync, writeFileSync } from 'node:fs'
import { encodeWav } from '../models/sequence/audio.ts'
import { randomFor } from '../protocol/random.ts'

const RATE = 8_000
const SEGMENT = 800

export function makeTinyDigits(folder: string, { speakers = 3, takes = 10 } = {}): void {
  mkdirSync(folder, { recursive: true })
  for (let speaker = 0; speaker < speakers; speaker++) {
    for (let digit = 0; digit < 10; digit++) {
      for (let take = 0; take < takes; take++) {
        const wav = encodeWav(tones(digit, speaker, take), RATE)
        writeFileSync(`${folder}/${digit}_tiny${speaker}_${take}.wav`, wav)
      }
    }
  }
}

function tones(digit: number, speaker: number, take: number): Float32Array {
  const random = randomFor('tiny', digit, speaker, take)
  const frequencies = [300 + 130 * digit, 2_600 - 210 * digit, 500 + 170 * ((digit * 7) % 10)]
  return Float32Array.from({ length: 3 * SEGMENT }, (_, i) => {
    const frequency = (frequencies[Math.floor(i / SEGMENT)] ?? 0) * (1 + 0.04 * speaker)
    return 4_000 * Math.sin((2 * Math.PI * frequency * i) / RATE) + 200 * random.normal()
  })
}
