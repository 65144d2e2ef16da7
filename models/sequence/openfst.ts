// Finite-state machines in OpenFst's text form, to look into graphs with its tools and to bring graphs made
// with them. Input labels are pdf + 1, outputs word numbers, 0 is epsilon, weights negated log probabilities.
import type { DecodingGraph } from './decoding-graph.ts'
import { EPSILON } from './lexicon.ts'
import { phoneOf, type Topology } from './topology.ts'

/** As in `DecodingGraph`, arcs stand by source state. An acceptor's outputs are its inputs. */
export interface Fst {
  readonly start: number
  readonly stateCount: number
  readonly arcOffset: Int32Array
  readonly arcTarget: Int32Array
  readonly arcInput: Int32Array
  readonly arcOutput: Int32Array
  readonly arcScore: Float64Array
  readonly finalScore: Float64Array
}

/** Label of every symbol. */
export type SymbolTable = ReadonlyMap<string, number>

export interface FstSymbols {
  readonly inputs?: SymbolTable
  readonly outputs?: SymbolTable
  /** One label an arc instead of two: OpenFst's `--acceptor`. */
  readonly acceptor?: boolean
}

export class FstFormatError extends Error {
  override readonly name = 'FstFormatError'
}

/** A machine that is none of our decoding graphs. */
export class FstGraphError extends Error {
  override readonly name = 'FstGraphError'
}

const STATES_MAX = 1 << 24

export function fstOf(graph: DecodingGraph): Fst {
  const { start, stateCount, arcOffset, arcTarget, arcOutput, arcScore, finalScore } = graph
  const arcInput = graph.arcPdf.map((pdf) => pdf + 1)
  return { start, stateCount, arcOffset, arcTarget, arcInput, arcOutput, arcScore, finalScore }
}

/**
 * The form keeps no phones and words of frames: a phone is that of the pdf; a word lasts from its output
 * to the next, silence belongs to none. Throws `FstGraphError` where that leaves a doubt.
 */
export function graphOf(fst: Fst, topology: Topology): DecodingGraph {
  const { arcOffset, arcTarget, arcInput, arcOutput, start, stateCount } = fst
  const arcPdf = arcInput.map((label) => label - 1)
  const arcPhone = arcPdf.map((pdf) => phoneOf(topology, pdf))
  const arcWord = arcOutput.slice()
  // Per state the word it belongs to, -1 until it is reached.
  const wordAt = new Int32Array(stateCount).fill(-1)
  const waiting = [start]
  wordAt[start] = 0
  for (let state = waiting.pop(); state !== undefined; state = waiting.pop()) {
    for (let arc = arcOffset[state]!; arc < arcOffset[state + 1]!; arc++) {
      const target = arcTarget[arc]!
      const named = `arc from state ${state} to ${target}`
      if (arcInput[arc] === 0) {
        throw new FstGraphError(`${named} consumes no frame: remove epsilon inputs first`)
      }
      const isSilence = arcPhone[arc] === 0
      const word = arcOutput[arc] || (isSilence ? 0 : wordAt[state]!)
      if (word === 0 && !isSilence) {
        throw new FstGraphError(`${named} enters a phone outside of a word: output words first`)
      }
      arcWord[arc] = word
      if (wordAt[target] === -1) {
        wordAt[target] = word
        waiting.push(target)
      } else if (wordAt[target] !== word) {
        throw new FstGraphError(
          `state ${target} belongs to two words: ${wordAt[target]} and ${word}`,
        )
      }
    }
  }
  const { arcScore, finalScore } = fst
  const arcs = { arcOffset, arcTarget, arcPdf, arcPhone, arcWord, arcOutput, arcScore }
  return { start, stateCount, ...arcs, finalScore }
}

/** One line an arc (`source target input output cost`) and one a final state (`state cost`). */
export function formatFst(machine: Fst | DecodingGraph, symbols: FstSymbols = {}): string {
  const fst = 'arcInput' in machine ? machine : fstOf(machine)
  const inputs = symbolsByLabel(symbols.inputs)
  const outputs = symbolsByLabel(symbols.outputs)
  const lines: string[] = []
  const addState = (state: number): void => {
    for (let arc = fst.arcOffset[state]!; arc < fst.arcOffset[state + 1]!; arc++) {
      const labels = [inputs(fst.arcInput[arc]!)]
      if (!symbols.acceptor) labels.push(outputs(fst.arcOutput[arc]!))
      const weight = costField(fst.arcScore[arc]!)
      lines.push([state, fst.arcTarget[arc], ...labels, ...weight].join(' '))
    }
    const final = fst.finalScore[state]!
    // A state without arcs needs a line of its own, or it is gone.
    const isBare = fst.arcOffset[state] === fst.arcOffset[state + 1]
    if (isBare || final > Number.NEGATIVE_INFINITY) {
      lines.push([state, ...costField(final)].join(' '))
    }
  }
  // The first line's state is the start.
  addState(fst.start)
  for (let state = 0; state < fst.stateCount; state++) if (state !== fst.start) addState(state)
  return `${lines.join('\n')}\n`
}

/** Throws `FstFormatError` with the number of the line. */
export function parseFst(text: string, symbols: FstSymbols = {}): Fst {
  const labelFields = symbols.acceptor ? 1 : 2
  const arcs: { source: number; target: number; labels: number[]; score: number }[] = []
  const finals = new Map<number, number>()
  let start: number | undefined
  let stateCount = 0
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return
    const wrong = (what: string) => new FstFormatError(`fst line ${index + 1}: ${what}`)
    const fields = line.trim().split(/\s+/)
    const stateIn = (field: string | undefined): number => {
      const state = readNatural(field)
      if (state === undefined || state >= STATES_MAX) {
        throw wrong(`'${field}' is not a state below ${STATES_MAX}`)
      }
      stateCount = Math.max(stateCount, state + 1)
      return state
    }
    const scoreIn = (field: string | undefined): number => {
      const cost = Number(field ?? '0')
      if (Number.isNaN(cost) || cost === Number.NEGATIVE_INFINITY) {
        throw wrong(`'${field}' is not a weight`)
      }
      return 0 - cost
    }
    const labelIn = (field: string | undefined, table: SymbolTable | undefined): number => {
      const label = table && field !== undefined ? table.get(field) : readNatural(field)
      if (label === undefined) {
        throw wrong(`'${field}' is not ${table ? 'in the symbol table' : 'a label'}`)
      }
      return label
    }
    const source = stateIn(fields[0])
    start ??= source
    if (fields.length <= 2) {
      if (finals.has(source)) throw wrong(`state ${source} has a second final weight`)
      finals.set(source, scoreIn(fields[1]))
      return
    }
    if (fields.length !== labelFields + 2 && fields.length !== labelFields + 3) {
      throw wrong(`${fields.length} fields: ${symbols.acceptor ? 'an acceptor' : 'a transducer'} has \
${labelFields + 2} or ${labelFields + 3} an arc, 1 or 2 a final state`)
    }
    const labels = [labelIn(fields[2], symbols.inputs)]
    if (!symbols.acceptor) labels.push(labelIn(fields[3], symbols.outputs))
    const score = scoreIn(fields[labelFields + 2])
    arcs.push({ source, target: stateIn(fields[1]), labels, score })
  })
  if (start === undefined) throw new FstFormatError('fst: no line, so no start state')
  return packFst({ start, stateCount, arcs, finals })
}

/** `symbol label` lines, as OpenFst's `--isymbols` and `--osymbols` read them. */
export function formatSymbols(symbols: SymbolTable): string {
  return [...symbols].map(([name, label]) => `${name} ${label}\n`).join('')
}

export function parseSymbols(text: string): SymbolTable {
  const symbols = new Map<string, number>()
  text.split('\n').forEach((line, index) => {
    if (line.trim() === '') return
    const wrong = (what: string) => new FstFormatError(`symbols line ${index + 1}: ${what}`)
    const [name = '', field, ...rest] = line.trim().split(/\s+/)
    const label = readNatural(field)
    if (label === undefined || rest.length > 0) throw wrong('expected a symbol and its label')
    if (symbols.has(name)) throw wrong(`'${name}' has a label already`)
    symbols.set(name, label)
  })
  return symbols
}

/** Outputs of a graph: `names` are `wordsOf(lexicon)`, whose number 0 is no word. */
export function wordSymbols(names: readonly string[]): SymbolTable {
  return new Map(names.map((name, label) => [label === 0 ? EPSILON : name, label]))
}

/** Inputs of a graph: `PHONE.STATE` for the pdfs of `phonesOf(lexicon)`. */
export function pdfSymbols(phones: readonly string[], { statesPerPhone }: Topology): SymbolTable {
  const names = phones.flatMap((phone) =>
    Array.from({ length: statesPerPhone }, (_, state) => `${phone}.${state}`),
  )
  return new Map([EPSILON, ...names].map((name, label) => [name, label]))
}

function symbolsByLabel(table: SymbolTable | undefined): (label: number) => string {
  if (!table) return String
  const names = new Map([...table].map(([name, label]) => [label, name]))
  return (label) => {
    const name = names.get(label)
    if (name === undefined) throw new FstFormatError(`label ${label} is not in the symbol table`)
    return name
  }
}

/** Nothing for certainty, as OpenFst prints it. */
function costField(score: number): [] | [string] {
  return score === 0 ? [] : [String(0 - score)]
}

function readNatural(field: string | undefined): number | undefined {
  return field !== undefined && /^\d{1,9}$/.test(field) ? Number(field) : undefined
}

function packFst({
  start,
  stateCount,
  arcs,
  finals,
}: {
  start: number
  stateCount: number
  arcs: readonly { source: number; target: number; labels: readonly number[]; score: number }[]
  finals: ReadonlyMap<number, number>
}): Fst {
  const arcOffset = new Int32Array(stateCount + 1)
  for (const { source } of arcs) arcOffset[source + 1]! += 1
  for (let state = 0; state < stateCount; state++) arcOffset[state + 1]! += arcOffset[state]!
  // Stable: arcs of a state keep their order.
  const sorted = arcs.toSorted((a, b) => a.source - b.source)
  const finalScore = new Float64Array(stateCount).fill(Number.NEGATIVE_INFINITY)
  for (const [state, score] of finals) finalScore[state] = score
  return {
    start,
    stateCount,
    arcOffset,
    arcTarget: Int32Array.from(sorted, ({ target }) => target),
    arcInput: Int32Array.from(sorted, ({ labels }) => labels[0] ?? 0),
    arcOutput: Int32Array.from(sorted, ({ labels }) => labels.at(-1) ?? 0),
    arcScore: Float64Array.from(sorted, ({ score }) => score),
    finalScore,
  }
}
