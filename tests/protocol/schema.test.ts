import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { Ref } from '../../protocol/address.ts'
import { formatAddress, parseAddress } from '../../protocol/address.ts'
import {
  DecodeError,
  integer,
  list,
  literal,
  optional,
  record,
  replyTo,
  struct,
  tensor,
  text,
  u32,
  union,
} from '../../protocol/schema.ts'

const Message = union({
  push: { version: u32, tags: list(text, 2), codec: literal('float32', 'int8') },
  pull: { have: integer, replyTo: replyTo<string>() },
})
const noRefs = (): never => {
  throw new Error('no refs here')
}
const decode = (value: unknown): unknown => Message.decode(value, '', noRefs)

describe('a message that is not what its protocol says is refused by the path of the field', () => {
  const cases: [unknown, string][] = [
    [{ type: 'push', version: -1, tags: [], codec: 'int8' }, 'push.version: expected an unsigned'],
    [
      { type: 'push', version: 1, tags: ['a', 2], codec: 'int8' },
      'push.tags[1]: expected a string, got 2',
    ],
    [
      { type: 'push', version: 1, tags: ['a', 'b', 'c'], codec: 'int8' },
      'push.tags: expected at most 2',
    ],
    [
      { type: 'push', version: 1, tags: [], codec: 'zip' },
      'push.codec: expected one of float32, int8',
    ],
    [{ type: 'pull', have: 1.5 }, 'pull.have: expected an integer, got 1.5'],
    [{ type: 'pull', have: 1, replyTo: 7 }, 'pull.replyTo: expected an address'],
    [{ type: 'steal' }, 'message: expected a message of push, pull, got "steal"'],
    [{ type: 'toString' }, 'expected a message of push, pull'],
    [null, 'expected a message of push, pull'],
    [[], 'expected a message of push, pull'],
  ]
  for (const [value, problem] of cases) {
    test(problem, () => {
      expect(() => decode(value)).toThrow(DecodeError)
      expect(() => decode(value)).toThrow(problem)
    })
  }

  test('a tensor whose bytes do not fill its shape', () => {
    const value = { dtype: 'float32', shape: [3], bytes: new Uint8Array(8) }
    expect(() => tensor.decode(value, 'gradient', noRefs)).toThrow(
      'gradient: expected 12 tensor bytes',
    )
  })
})

test('fields that the protocol does not name are not passed on', () => {
  const value = JSON.parse(
    '{"type":"push","version":1,"tags":[],"codec":"int8","__proto__":{"x":1},"y":2}',
  )
  expect(decode(value) as unknown).toEqual({ type: 'push', version: 1, tags: [], codec: 'int8' })
})

test('absent, undefined and null are the same for an optional field', () => {
  const schema = struct({ a: optional(u32) })
  for (const value of [{}, { a: undefined }, { a: null }]) {
    expect(schema.decode(value, '', noRefs)).toEqual({})
  }
})

test('a record of any keys has no prototype to pollute', () => {
  const value = JSON.parse('{"__proto__":1,"a":2}')
  const decoded = record(u32).decode(value, '', noRefs)
  expect(Object.getPrototypeOf(decoded)).toBeNull()
  expect(decoded.a).toBe(2)
})

test('an address becomes what the receiver resolves it to', () => {
  const ref: Ref<never> = { address: { member: 'a', path: '/x' }, tell: () => 'accepted' }
  const decoded = Message.decode({ type: 'pull', have: 1, replyTo: ref.address }, '', () => ref)
  expect(decoded as unknown).toEqual({ type: 'pull', have: 1, replyTo: ref })
})

test('no value makes a schema throw anything but DecodeError', () => {
  fc.assert(
    fc.property(fc.anything(), (value) => {
      try {
        decode(value)
      } catch (error) {
        expect(error).toBeInstanceOf(DecodeError)
      }
    }),
    { seed: 7, numRuns: 1_000 },
  )
})

test('addresses read back what they print', () => {
  for (const address of [
    { member: 'a', path: '/' },
    { member: 'a-1', path: '/x/y', incarnation: 0 },
    { member: 'a', path: '/~12', incarnation: 2 ** 40 },
  ]) {
    expect(parseAddress(formatAddress(address))).toEqual(address)
  }
  for (const text of ['', 'a', '/x', 'a/x#', 'a/x#-1', 'a/x#1x', 'a#1/x']) {
    expect(parseAddress(text)).toBeUndefined()
  }
})
