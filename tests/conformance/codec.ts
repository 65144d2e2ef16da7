// The bytes of the wire, which both engines must write and read alike.
import { deepEqual, equal } from 'node:assert/strict'
import { decodeRecord, encodePacket, encodeRecord } from '../../protocol/codec.ts'
import { float32View, type Tensor, tensorOf } from '../../protocol/tensor.ts'
import { type Case, group } from './cases.ts'

interface Golden {
  readonly name: string
  readonly value: unknown
  /** After version and header length. */
  readonly header: string
}

const goldens: readonly Golden[] = [
  { name: 'nothing', value: null, header: 'c0' },
  { name: 'small and large integers', value: [0, -1, 255, 65_536], header: '9400ffccffce00010000' },
  {
    name: 'the largest safe integer and its negative',
    value: [Number.MAX_SAFE_INTEGER, -Number.MAX_SAFE_INTEGER],
    header: '92cf001fffffffffffffd3ffe0000000000001',
  },
  { name: 'a fraction', value: 0.1, header: 'cb3fb999999999999a' },
  { name: 'infinity', value: Number.NEGATIVE_INFINITY, header: 'cbfff0000000000000' },
  { name: 'letters beyond ASCII', value: 'é漢🙂', header: 'a9c3a9e6bca2f09f9982' },
  { name: 'a map in its own order', value: { b: true, a: false }, header: '82a162c3a161c2' },
  { name: 'a few bytes', value: Uint8Array.of(1, 2, 3), header: 'c403010203' },
]

const codecCases: readonly Case<AsyncDisposable>[] = [
  ...goldens.map(
    ({ name, value, header }): Case<AsyncDisposable> => [
      `${name}: the same bytes, and back`,
      async () => {
        const record = encodeRecord(value)
        equal(hexOf(record).slice(10), header)
        deepEqual(decodeRecord(record), value)
      },
    ],
  ),
  [
    'an empty packet of the sequence',
    async () => {
      const acknowledged = { signals: 1, messages: 4, bulk: 0, offset: 0 }
      const packet = encodePacket([], { sequence: 5, acknowledged })
      equal(hexOf(packet), '010a00000099000501040000909090')
    },
  ],
  [
    'a tensor is the same values, at whatever offset it arrives',
    async () => {
      const values = Float32Array.from({ length: 1_000 }, (_, index) => index / 8)
      const record = encodeRecord({ tensor: tensorOf(values) })
      for (const offset of [0, 1, 7]) {
        const shifted = new Uint8Array(record.byteLength + offset)
        shifted.set(record, offset)
        const { tensor } = decodeRecord(shifted.subarray(offset)) as { tensor: Tensor }
        deepEqual(float32View({ ...tensor, bytes: tensor.bytes.slice() }), values)
      }
    },
  ],
]

function hexOf(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

const open = (): AsyncDisposable => ({ async [Symbol.asyncDispose]() {} })

export const codec = group('the codec', open, codecCases)
