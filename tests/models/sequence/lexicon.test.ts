import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  digitLexicon,
  EPSILON,
  formatLexicon,
  type Lexicon,
  LexiconError,
  parseLexicon,
  phonesOf,
  SILENCE,
  wordsOf,
} from '../../../models/sequence/lexicon.ts'
import { pdfOf, phoneOf, threeStates } from '../../../models/sequence/topology.ts'

describe('the digits', () => {
  test('are ten words of 19 phones and silence: 60 pdfs, silence first', () => {
    const phones = phonesOf(digitLexicon)
    expect(phones.length).toBe(20)
    expect(phones[0]).toBe(SILENCE)
    expect(phones.slice(1).join(' ')).toBe('AH AO AY EH EY F IH IY K N OW R S T TH UW V W Z')
    expect(wordsOf(digitLexicon).join(' ')).toBe(
      ' zero one two three four five six seven eight nine',
    )
    const pdfs = phones.flatMap((_, phone) => [0, 1, 2].map((s) => pdfOf(threeStates, phone, s)))
    expect(pdfs).toEqual(Array.from({ length: 60 }, (_, pdf) => pdf))
    for (const pdf of pdfs) expect(phoneOf(threeStates, pdf)).toBe(Math.floor(pdf / 3))
  })

  test('have two pronunciations of zero and one of every other', () => {
    const counts = [...digitLexicon].map(([word, variants]) => `${word} ${variants.length}`)
    expect(counts.filter((count) => !count.endsWith(' 1'))).toEqual(['zero 2'])
    expect(digitLexicon.get('zero')).toEqual([
      ['Z', 'IH', 'R', 'OW'],
      ['Z', 'IY', 'R', 'OW'],
    ])
  })
})

describe('text', () => {
  const name = fc.stringMatching(/^[A-Za-z0-9'_.<>-]{1,6}$/)
  const phone = name.filter((text) => text !== SILENCE)
  const variants = fc.array(fc.array(phone, { minLength: 1, maxLength: 4 }), {
    minLength: 1,
    maxLength: 3,
  })
  const lexicons = fc
    .array(
      fc.tuple(
        name.filter((text) => text !== EPSILON),
        variants,
      ),
      { maxLength: 6 },
    )
    .map((entries): Lexicon => new Map(entries))

  test('read again is the same lexicon', () => {
    fc.assert(
      fc.property(lexicons, (lexicon) => {
        expect(parseLexicon(formatLexicon(lexicon))).toEqual(lexicon as Map<string, string[][]>)
      }),
      { seed: 1 },
    )
  })

  test('may have comments, empty lines, tabs and a carriage return', () => {
    const lexicon = parseLexicon('# digits\r\n\r\none\tW AH  N \r\n')
    expect([...lexicon]).toEqual([['one', [['W', 'AH', 'N']]]])
  })

  test('without phones or with the silence phone is refused with its line', () => {
    expect(() => parseLexicon('one W AH N\ntwo\n')).toThrow(LexiconError)
    expect(() => parseLexicon('one W AH N\ntwo\n')).toThrow("line 2: 'two' has no phones")
    expect(() => parseLexicon('pause SIL\n')).toThrow('line 1: SIL is reserved')
  })

  test("with OpenFst's symbol of no word as a word is refused with its line", () => {
    expect(() => parseLexicon('one W AH N\n<eps> AH\n')).toThrow(LexiconError)
    expect(() => parseLexicon('one W AH N\n<eps> AH\n')).toThrow('line 2: <eps> is reserved')
  })
})
