// A pronunciation lexicon: words to phone sequences, in Kaldi's text form (`word phone phone ...`).

export type Lexicon = ReadonlyMap<string, readonly (readonly string[])[]>

export const SILENCE = 'SIL'
/** OpenFst's symbol of label 0: what an arc outputs that enters no word. */
export const EPSILON = '<eps>'

export class LexiconError extends Error {
  override readonly name = 'LexiconError'
}

export class MissingPronunciationError extends Error {
  override readonly name = 'MissingPronunciationError'
  constructor(word: string) {
    super(`the lexicon has no pronunciation of '${word}': add a line '${word} PHONE PHONE ...'`)
  }
}

/** One pronunciation a line; a word on several lines has variants. */
export function parseLexicon(text: string): Lexicon {
  const lexicon = new Map<string, string[][]>()
  text.split('\n').forEach((line, index) => {
    const [word, ...phones] = line.trim().split(/\s+/)
    if (!word || word.startsWith('#')) return
    if (word === EPSILON)
      throw new LexiconError(`lexicon line ${index + 1}: ${EPSILON} is reserved`)
    if (phones.length === 0)
      throw new LexiconError(`lexicon line ${index + 1}: '${word}' has no phones`)
    if (phones.includes(SILENCE))
      throw new LexiconError(`lexicon line ${index + 1}: ${SILENCE} is reserved`)
    lexicon.set(word, [...(lexicon.get(word) ?? []), phones])
  })
  return lexicon
}

export function formatLexicon(lexicon: Lexicon): string {
  const lines = [...lexicon].flatMap(([word, variants]) =>
    variants.map((v) => `${word} ${v.join(' ')}`),
  )
  return `${lines.join('\n')}\n`
}

/** The English digits in the phones of the CMU dictionary. */
export const digitLexicon: Lexicon = parseLexicon(`
zero Z IH R OW
zero Z IY R OW
one W AH N
two T UW
three TH R IY
four F AO R
five F AY V
six S IH K S
seven S EH V AH N
eight EY T
nine N AY N
`)

/** Phone names, silence first: their order numbers the phones. */
export function phonesOf(lexicon: Lexicon): readonly string[] {
  const phones = new Set([...lexicon.values()].flat(2))
  return [SILENCE, ...[...phones].sort()]
}

/** Word names; number 0 is silence (or none), so words count from 1. */
export function wordsOf(lexicon: Lexicon): readonly string[] {
  return ['', ...lexicon.keys()]
}
