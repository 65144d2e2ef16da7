// LSTM, GRU and RNN unrolled: one copy of the cell per step. Equations and the order of the gates are
// those of the ONNX operators (LSTM: input, output, forget, cell; GRU: update, reset, hidden).
import type { Builder, Handle } from '../builder.ts'
import { GraphError, integer, integerOf, type Node, textOf } from '../graph.ts'

type Inputs = readonly (Handle | undefined)[]

interface Cell {
  readonly gates: number
  /** Further states beside the output. */
  readonly hasMemory: boolean
  readonly activations: readonly string[]
  readonly step: (b: Builder, step: Step) => { readonly h: Handle; readonly c?: Handle }
}

interface Step {
  readonly node: Node
  /** Per gate: W x + its bias, batch x hidden. */
  readonly x: readonly Handle[]
  readonly h: Handle
  readonly c: Handle
  /** Per gate: hidden x hidden, transposed, and its bias. */
  readonly r: readonly Handle[]
  readonly rb: readonly (Handle | undefined)[]
}

const plus = (b: Builder, x: Handle, y: Handle | undefined) => (y ? b.node('Add', [x, y]) : x)
const times = (b: Builder, x: Handle, y: Handle) => b.node('Mul', [x, y])

/** W x + R h + both biases of a gate. */
const into = (b: Builder, { x, h, r, rb }: Step, gate: number, state = h): Handle => {
  const [own, matrix] = [x[gate], r[gate]]
  return plus(b, b.node('Add', [own, b.node('MatMul', [state, matrix])]), rb[gate])
}

const cells: Readonly<Record<string, Cell>> = {
  LSTM: {
    gates: 4,
    hasMemory: true,
    activations: ['Sigmoid', 'Tanh', 'Tanh'],
    step: (b, step) => {
      const gate = (index: number) => b.node('Sigmoid', [into(b, step, index)])
      const fresh = times(b, gate(0), b.node('Tanh', [into(b, step, 3)]))
      const c = b.node('Add', [times(b, gate(2), step.c), fresh])
      return { h: times(b, gate(1), b.node('Tanh', [c])), c }
    },
  },
  GRU: {
    gates: 3,
    hasMemory: false,
    activations: ['Sigmoid', 'Tanh'],
    step: (b, step) => {
      const [z, r] = [0, 1].map((index) => b.node('Sigmoid', [into(b, step, index)]))
      const { x, h, r: matrices, rb } = step
      if (!z || !r) return { h }
      const isLate = integerOf(step.node, 'linear_before_reset', 0) !== 0
      const late = () => plus(b, b.node('MatMul', [h, matrices[2]]), rb[2])
      const sum = isLate
        ? b.node('Add', [x[2], times(b, r, late())])
        : into(b, step, 2, times(b, r, h))
      const fresh = b.node('Tanh', [sum])
      // (1 - z) fresh + z h
      return { h: b.node('Add', [fresh, times(b, z, b.node('Sub', [h, fresh]))]) }
    },
  },
  RNN: {
    gates: 1,
    hasMemory: false,
    activations: ['Tanh'],
    step: (b, step) => ({ h: b.node('Tanh', [into(b, step, 0)]) }),
  },
}

const lowering = (b: Builder, node: Node, inputs: Inputs): Inputs => {
  const [x, , r, , lengths, , , peepholes] = inputs
  const cell = cells[node.op]
  const refuse = (what: string): never => {
    throw new GraphError(`node ${node.name}: ${node.op} ${what} has no gradient rule`)
  }
  if (!x || !r || !cell) return refuse('without inputs')
  const count = x.shape[0]
  if (typeof count !== 'number') return refuse('of an open number of steps')
  if (lengths) refuse('with sequence lengths')
  if (peepholes) refuse('with peepholes')
  if (node.attributes.clip || integerOf(node, 'input_forget', 0))
    refuse('with clip or input_forget')
  const { activations } = node.attributes
  const isUsual = (name: string, at: number) =>
    name.toLowerCase() === cell.activations[at % cell.activations.length]?.toLowerCase()
  if (activations?.type === 'texts' && !activations.value.every(isUsual)) {
    refuse('with other activations')
  }
  const direction = textOf(node, 'direction', 'forward')
  const reversed = { forward: [false], reverse: [true], bidirectional: [false, true] }[direction]
  const ways = (reversed ?? [false]).map((isReversed, way) =>
    unrolled(b, { node, cell, inputs, way, count, isReversed }),
  )
  const stack = (parts: readonly Handle[], axis: number) =>
    b.node('Concat', parts, { attributes: { axis: integer(axis) } })
  const raise = (value: Handle, axes: readonly number[]) =>
    b.node('Unsqueeze', [value, b.integers(axes)])
  const y = stack(
    Array.from({ length: count }, (_, t) =>
      stack(
        ways.map(({ all }) => raise(all[t] ?? x, [0, 1])),
        1,
      ),
    ),
    0,
  )
  const last = (pick: (way: Way) => Handle) =>
    stack(
      ways.map((way) => raise(pick(way), [0])),
      0,
    )
  const yc = cell.hasMemory ? last(({ c }) => c) : undefined
  return [y, last(({ h }) => h), yc]
}

export const recurrentLowerings = { LSTM: lowering, GRU: lowering, RNN: lowering }

interface Way {
  /** Output per step, in the order of the input. */
  readonly all: readonly Handle[]
  readonly h: Handle
  readonly c: Handle
}

interface Unrolled {
  readonly node: Node
  readonly cell: Cell
  readonly inputs: Inputs
  readonly way: number
  readonly count: number
  readonly isReversed: boolean
}

/** One direction. */
function unrolled(b: Builder, { node, cell, inputs, way, count, isReversed }: Unrolled): Way {
  const [x, w, r, bias, , h0, c0] = inputs
  const own = (value: Handle | undefined) =>
    value && b.node('Gather', [value, b.integers([way], [])])
  const hidden = integerOf(node, 'hidden_size', Number(r?.shape[2] ?? 1))
  const part = (value: Handle, from: number) =>
    b.node('Slice', [value, b.integers([from]), b.integers([from + hidden]), b.integers([0])])
  const gates = Array.from({ length: cell.gates }, (_, gate) => gate * hidden)
  const turned = (value: Handle) => b.node('Transpose', [value])
  const [ownW, ownR, ownBias] = [own(w), own(r), own(bias)]
  const matrices = (value: Handle | undefined) =>
    gates.flatMap((from) => (value ? [turned(part(value, from))] : []))
  const rb = gates.map((from) => ownBias && part(ownBias, cell.gates * hidden + from))
  const [ws, rs] = [matrices(ownW), matrices(ownR)]
  const projected = ws.map((matrix, gate) =>
    plus(b, b.node('MatMul', [x, matrix]), ownBias && part(ownBias, gate * hidden)),
  )
  const at = (value: Handle, t: number) => b.node('Gather', [value, b.integers([t], [])])
  const zero = () => b.node('Mul', [at(projected[0] as Handle, 0), b.constant([0], [])])
  let h = own(h0) ?? zero()
  let c = own(c0) ?? zero()
  const all: Handle[] = []
  for (let index = 0; index < count; index++) {
    const t = isReversed ? count - 1 - index : index
    const next = cell.step(b, { node, x: projected.map((value) => at(value, t)), h, c, r: rs, rb })
    h = next.h
    c = next.c ?? c
    all[t] = h
  }
  return { all, h, c }
}
