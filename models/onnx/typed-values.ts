// The dtypes of .onnx files, by number, and values that are not raw bytes.
import { bytesOf, type DType } from '../../protocol/tensor.ts'

export const dtypes = {
  1: 'float32',
  2: 'uint8',
  3: 'int8',
  5: 'int16',
  6: 'int32',
  7: 'int64',
  9: 'bool',
  10: 'float16',
  11: 'float64',
} as const satisfies Record<number, DType>

export const dtypeNumbers = new Map(
  Object.entries(dtypes).map(([number, dtype]) => [dtype, Number(number)]),
)

/** Where there is no `raw_data`, each dtype has its own field. */
export function typedBytes(
  dtype: DType,
  fields: Readonly<Record<'floats' | 'ints' | 'doubles', readonly number[]>> & {
    readonly longs: readonly bigint[]
  },
): Uint8Array {
  const { floats, ints, longs, doubles } = fields
  switch (dtype) {
    case 'float32':
      return bytesOf(Float32Array.from(floats))
    case 'float64':
      return bytesOf(Float64Array.from(doubles))
    case 'int64':
      return bytesOf(BigInt64Array.from(longs))
    case 'int32':
      return bytesOf(Int32Array.from(ints))
    case 'int16':
      return bytesOf(Int16Array.from(ints))
    case 'float16':
      return bytesOf(Uint16Array.from(ints))
    case 'int8':
    case 'uint8':
    case 'bool':
      return Uint8Array.from(ints)
  }
}
