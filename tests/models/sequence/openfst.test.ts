// Round trips of the text form; where OpenFst's tools are installed, our graphs and sums against theirs.
import { describe, expect, test } from 'bun:test'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { viterbiAligner } from '../../../models/sequence/alignment.ts'
import {
  compileTranscript,
  compileWordLoop,
  type DecodingGraph,
  parseArpa,
  withWordBonus,
} from '../../../models/sequence/decoding-graph.ts'
import { digitLexicon, EPSILON, phonesOf, wordsOf } from '../../../models/sequence/lexicon.ts'
import {
  type Fst,
  FstFormatError,
  FstGraphError,
  formatFst,
  formatSymbols,
  fstOf,
  graphOf,
  parseFst,
  parseSymbols,
  pdfSymbols,
  wordSymbols,
} from '../../../models/sequence/openfst.ts'
import { threeStates } from '../../../models/sequence/topology.ts'
import { randomFor } from '../../../protocol/random.ts'

const digits = { lexicon: digitLexicon, topology: threeStates, silenceProbability: 0.5 }
const pdfs = pdfSymbols(phonesOf(digitLexicon), threeStates)
const words = wordSymbols(wordsOf(digitLexicon))
// Words that follow each other in order are likely; the rest by back-off, with its weights.
const names = [...digitLexicon.keys()]
const bigram = parseArpa(
  [
    '\\data\\',
    'ngram 1=12',
    'ngram 2=10',
    '\\1-grams:',
    '-99 <s> -0.2',
    ...names.map((name, index) => `${-0.9 - index / 20} ${name} ${-index / 10}`),
    '-1.3 </s>',
    '\\2-grams:',
    ...['<s>', ...names].slice(0, 10).map((name, index) => `-0.25 ${name} ${names[index]}`),
    '\\end\\',
  ].join('\n'),
)
const graphs: [string, DecodingGraph][] = [
  ['the loop of digits', compileWordLoop(digits)],
  ['the loop with a penalty', withWordBonus(compileWordLoop(digits), -12)],
  ['a bigram grammar', compileWordLoop({ ...digits, grammar: bigram })],
  ['a transcript', compileTranscript(['zero', 'one', 'one'], digits)],
  ['an empty transcript', compileTranscript([], digits)],
]

const score = fc.oneof(
  fc.constant(0),
  fc.double({ min: -50, max: 5, noNaN: true }).map((value) => value + 0),
)
const fsts = fc
  .array(
    fc.record({
      arcs: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 40 }), fc.nat({ max: 12 }), score), {
        maxLength: 3,
      }),
      final: fc.option(score, { nil: Number.NEGATIVE_INFINITY }),
    }),
    { minLength: 1, maxLength: 5 },
  )
  .chain((states) => fc.nat({ max: states.length - 1 }).map((start) => ({ states, start })))
  .map(({ states, start }): Fst => {
    const arcs = states.flatMap((state) => state.arcs)
    const counts = [0, ...states.map((state) => state.arcs.length)]
    let sum = 0
    return {
      start,
      stateCount: states.length,
      arcOffset: Int32Array.from(counts, (count) => (sum += count)),
      arcTarget: Int32Array.from(arcs, ([to]) => to % states.length),
      arcInput: Int32Array.from(arcs, ([, input]) => input),
      arcOutput: Int32Array.from(arcs, ([, , output]) => output),
      arcScore: Float64Array.from(arcs, ([, , , value]) => value),
      finalScore: Float64Array.from(states, ({ final }) => final),
    }
  })

describe('text', () => {
  test('read again is the same machine', () => {
    fc.assert(
      fc.property(fsts, (fst) => {
        expect(parseFst(formatFst(fst))).toEqual(fst)
      }),
      { seed: 4 },
    )
  })

  test('read again is the same acceptor', () => {
    fc.assert(
      fc.property(fsts, (fst) => {
        const acceptor = { ...fst, arcOutput: fst.arcInput }
        const text = formatFst(acceptor, { acceptor: true })
        expect(parseFst(text, { acceptor: true })).toEqual(acceptor)
      }),
      { seed: 5 },
    )
  })

  test.each(graphs)('of %s read again is the same graph, phones and words included', (_, graph) => {
    expect(graphOf(parseFst(formatFst(graph)), threeStates)).toEqual(graph)
    const symbols = { inputs: pdfs, outputs: words }
    expect(graphOf(parseFst(formatFst(graph, symbols), symbols), threeStates)).toEqual(graph)
  })

  test('has costs, pdf + 1, word numbers, and the start state first', () => {
    const fst = {
      start: 1,
      stateCount: 2,
      arcOffset: Int32Array.of(0, 0, 2),
      arcTarget: Int32Array.of(0, 1),
      arcInput: Int32Array.of(4, 1),
      arcOutput: Int32Array.of(2, 0),
      arcScore: Float64Array.of(-0.5, 0),
      finalScore: Float64Array.of(-0.25, Number.NEGATIVE_INFINITY),
    }
    expect(formatFst(fst)).toBe('1 0 4 2 0.5\n1 1 1 0\n0 0.25\n')
    const graph = compileWordLoop(digits)
    const [first] = formatFst(graph, { inputs: pdfs, outputs: words }).split('\n')
    expect(first).toBe(`0 1 SIL.0 ${EPSILON} ${Math.log(2)}`)
    expect(formatFst(graph)).toStartWith(`0 1 1 0 ${Math.log(2)}\n`)
    expect(fstOf(graph).arcInput[0]).toBe(graph.arcPdf[0]! + 1)
  })

  test('that is not well formed is refused with its line', () => {
    const cases: [string, string][] = [
      ['', 'no start state'],
      ['0 1 1 1 0.5\n0 1 1\n', 'fst line 2: 3 fields'],
      ['0 1 1 1 0.5 6\n', 'fst line 1: 6 fields'],
      ['0 1 1 1\n\nx 1 1 1\n', "fst line 3: 'x' is not a state"],
      ['0 99999999 1 1\n', 'not a state below'],
      ['0 1 -1 1\n', "fst line 1: '-1' is not a label"],
      ['0 1 1 1 heavy\n', "fst line 1: 'heavy' is not a weight"],
      ['0 1 1 1\n1 NaN\n', "fst line 2: 'NaN' is not a weight"],
      ['0 1 1 1\n1\n1 0.5\n', 'fst line 3: state 1 has a second final weight'],
    ]
    for (const [text, message] of cases) {
      expect(() => parseFst(text)).toThrow(FstFormatError)
      expect(() => parseFst(text)).toThrow(message)
    }
    expect(() => parseFst('0 1 SIL.9 one\n', { inputs: pdfs, outputs: words })).toThrow(
      "fst line 1: 'SIL.9' is not in the symbol table",
    )
    expect(() => formatFst(compileWordLoop(digits), { outputs: new Map() })).toThrow(
      'label 0 is not in the symbol table',
    )
  })

  test('of a machine that is no decoding graph is refused with the reason', () => {
    const cases: [string, string][] = [
      ['0 1 0 1\n1\n', 'consumes no frame'],
      ['0 1 4 0\n1\n', 'enters a phone outside of a word'],
      ['0 1 4 1\n0 1 4 2\n1\n', 'state 1 belongs to two words: 1 and 2'],
    ]
    for (const [text, message] of cases) {
      expect(() => graphOf(parseFst(text), threeStates)).toThrow(FstGraphError)
      expect(() => graphOf(parseFst(text), threeStates)).toThrow(message)
    }
  })

  test('of symbols read again is the same table', () => {
    for (const table of [pdfs, words]) expect(parseSymbols(formatSymbols(table))).toEqual(table)
    expect(formatSymbols(words)).toStartWith('<eps> 0\nzero 1\n')
    expect([...pdfs].at(-1)).toEqual(['Z.2', 60])
    expect(() => parseSymbols('one 1\none 2\n')).toThrow("symbols line 2: 'one' has a label")
    expect(() => parseSymbols('one\n')).toThrow('symbols line 1')
  })
})

const TOOLS = ['compile', 'info', 'print', 'compose', 'shortestpath', 'shortestdistance', 'arcsort']
const isInstalled = TOOLS.every((tool) => Bun.which(`fst${tool}`) !== null)

describe.skipIf(!isInstalled)('with the tools of OpenFst', () => {
  const inFolder = (use: (folder: string) => void): void => {
    const folder = mkdtempSync(join(tmpdir(), 'openfst-'))
    try {
      use(folder)
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  }
  const tool = (...command: readonly string[]): string => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([...command])
    expect(`${exitCode} ${stderr}`).toBe('0 ')
    return stdout.toString()
  }
  const compile = (
    folder: string,
    { name, text, flags = [] }: { name: string; text: string; flags?: readonly string[] },
  ): string => {
    const path = join(folder, name)
    writeFileSync(`${path}.txt`, text)
    tool('fstcompile', ...flags, `${path}.txt`, path)
    return path
  }

  test('compiled graphs have our states, arcs and final states', () => {
    inFolder((folder) => {
      for (const [, graph] of graphs) {
        const path = compile(folder, { name: 'graph', text: formatFst(graph) })
        const information = tool('fstinfo', path)
        const count = (what: string): number =>
          Number(new RegExp(`^# of ${what} +(\\d+)$`, 'm').exec(information)?.[1])
        expect(count('states')).toBe(graph.stateCount)
        expect(count('arcs')).toBe(graph.arcTarget.length)
        const finals = graph.finalScore.filter((value) => value > Number.NEGATIVE_INFINITY)
        expect(count('final states')).toBe(finals.length)
        expect(count('input epsilons')).toBe(0)
      }
    })
  })

  test('what they print of a graph, with symbols, is the graph in single precision', () => {
    inFolder((folder) => {
      const symbols = { inputs: pdfs, outputs: words }
      writeFileSync(join(folder, 'pdfs'), formatSymbols(pdfs))
      writeFileSync(join(folder, 'words'), formatSymbols(words))
      const flags = [`--isymbols=${folder}/pdfs`, `--osymbols=${folder}/words`]
      const keep = [...flags, '--keep_state_numbering']
      for (const [, graph] of graphs) {
        const path = compile(folder, {
          name: 'graph',
          text: formatFst(graph, symbols),
          flags: keep,
        })
        const printed = graphOf(parseFst(tool('fstprint', ...flags, path), symbols), threeStates)
        const { arcScore, finalScore, ...rest } = printed
        expect(rest).toEqual((({ arcScore, finalScore, ...rest }) => rest)(graph))
        arcScore.forEach((value, arc) => expect(value).toBeCloseTo(graph.arcScore[arc]!, 4))
        finalScore.forEach((value, state) => {
          const expected = graph.finalScore[state]!
          if (expected === Number.NEGATIVE_INFINITY) expect(value).toBe(expected)
          else expect(value).toBeCloseTo(expected, 4)
        })
      }
    })
  })

  test('scores composed with a graph have our best path and our total', () => {
    const frames = 36
    const random = randomFor('openfst')
    const values = Float32Array.from({ length: frames * 60 }, () => 3 * random.normal())
    const lines: string[] = []
    for (let t = 0; t < frames; t++) {
      for (let pdf = 0; pdf < 60; pdf++) {
        lines.push(`${t} ${t + 1} ${pdf + 1} ${-values[t * 60 + pdf]!}`)
      }
    }
    const acceptor = [...lines, frames, ''].join('\n')
    inFolder((folder) => {
      for (const [name, graph] of graphs) {
        const compose = (arcType: string): string => {
          const flags = [`--arc_type=${arcType}`]
          const scores = { name: 'scores', text: acceptor, flags: [...flags, '--acceptor'] }
          const left = compile(folder, scores)
          const right = compile(folder, { name: 'graph', text: formatFst(graph), flags })
          const sorted = join(folder, 'sorted')
          tool('fstarcsort', '--sort_type=ilabel', right, sorted)
          tool('fstcompose', left, sorted, join(folder, `composed-${arcType}`))
          return join(folder, `composed-${arcType}`)
        }
        const distance = (path: string): number => {
          const [first] = tool('fstshortestdistance', '--reverse', path).split('\n')
          return -Number(first!.split('\t')[1])
        }
        const composed = compose('standard')
        const ours = viterbiAligner()(graph, { values, pdfs: 60, scale: 1 })
        if (!ours.aligned) throw new Error(`${name}: ${ours.reason}`)
        expect(distance(composed)).toBeCloseTo(ours.score, 3)
        expect(distance(compose('log'))).toBeCloseTo(totalOf(graph, values), 3)

        const best = join(folder, 'best')
        tool('fstshortestpath', composed, best)
        expect(inputsAlong(parseFst(tool('fstprint', best)))).toEqual(
          [...ours.alignment.pdfs].map((pdf) => pdf + 1),
        )
      }
    })
  })
})

/** ln of the sum over all paths, by the plain forward recursion. */
function totalOf(graph: DecodingGraph, values: Float32Array): number {
  const none = Number.NEGATIVE_INFINITY
  const addLogs = (a: number, b: number): number => {
    const top = Math.max(a, b)
    return top === none ? none : top + Math.log(Math.exp(a - top) + Math.exp(b - top))
  }
  let now = new Float64Array(graph.stateCount).fill(none)
  now[graph.start] = 0
  for (let t = 0; t < values.length / 60; t++) {
    const later = new Float64Array(graph.stateCount).fill(none)
    now.forEach((score, state) => {
      for (let arc = graph.arcOffset[state]!; arc < graph.arcOffset[state + 1]!; arc++) {
        const target = graph.arcTarget[arc]!
        const own = graph.arcScore[arc]! + values[t * 60 + graph.arcPdf[arc]!]!
        later[target] = addLogs(later[target]!, score + own)
      }
    })
    now = later
  }
  return now.reduce((sum, score, state) => addLogs(sum, score + graph.finalScore[state]!), none)
}

/** Labels of a machine that is one path. */
function inputsAlong({ start, arcOffset, arcTarget, arcInput }: Fst): number[] {
  const labels: number[] = []
  for (let state = start; arcOffset[state]! < arcOffset[state + 1]!; ) {
    const arc = arcOffset[state]!
    if (arcInput[arc]) labels.push(arcInput[arc]!)
    state = arcTarget[arc]!
  }
  return labels
}
