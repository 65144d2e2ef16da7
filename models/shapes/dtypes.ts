// Which dtype the outputs of an operator have.
import type { DType } from '../../protocol/tensor.ts'
import { integerOf, type Node, type Value } from '../graph.ts'

/** ONNX numbers of the dtypes that Cast goes to. */
const castTypes: Readonly<Record<number, DType>> = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
}

/** One dtype per output; where there are fewer than outputs, the first is that of the rest. */
export function inferDTypes(node: Node, inputs: readonly (Value | undefined)[]): readonly DType[] {
  const first = inferDType(node, inputs)
  const second = Object.hasOwn(secondOutputs, node.op) ? secondOutputs[node.op] : undefined
  return second ? [first, second] : [first]
}

const secondOutputs: Readonly<Record<string, DType>> = {
  MaxPool: 'int64',
  TopK: 'int64',
  Dropout: 'bool',
}

const truths = new Set(
  'Equal Greater GreaterOrEqual Less LessOrEqual Not And Or Xor IsNaN IsInf'.split(' '),
)
const counts = new Set('ArgMax ArgMin Shape Size NonZero'.split(' '))

function inferDType(node: Node, inputs: readonly (Value | undefined)[]): DType {
  if (truths.has(node.op)) return 'bool'
  if (counts.has(node.op)) return 'int64'
  const first = inputs.find((value) => value !== undefined)?.dtype ?? 'float32'
  switch (node.op) {
    case 'Cast':
      return castTypes[integerOf(node, 'to', 1)] ?? first
    case 'EyeLike':
    case 'RandomNormalLike':
    case 'RandomUniformLike':
    case 'Bernoulli':
      return castTypes[integerOf(node, 'dtype', 0)] ?? first
    case 'OneHot':
      return inputs[2]?.dtype ?? 'float32'
    case 'Where':
      return inputs[1]?.dtype ?? 'float32'
    case 'Compress':
      return inputs[0]?.dtype ?? 'float32'
    case 'Constant':
    case 'ConstantOfShape': {
      const { value, value_int: int, value_ints: ints } = node.attributes
      if (value?.type === 'tensor') return value.value.dtype
      return int || ints ? 'int64' : 'float32'
    }
    default:
      return first
  }
}
