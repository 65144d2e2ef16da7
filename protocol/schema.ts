// Each message is declared once, as a schema; its type and its decoder derive from that declaration.
// Decoding copies known fields and refuses the rest by path, so a hostile peer cannot smuggle a field.
import type { Address, Ref } from './address.ts'
import { byteSize, bytesPerElement, type DType, type Tensor } from './tensor.ts'

/** Turns an address that arrived on the wire into a ref of this system. */
export type Resolve = (address: Address) => Ref<never>

export interface Schema<T> {
  /** Returns a value of T or throws `DecodeError`; `at` is the field path for its message. */
  decode(value: unknown, at: string, resolve: Resolve): T
}

export type Infer<S> = S extends Schema<infer T> ? T : never

export class DecodeError extends Error {
  override readonly name = 'DecodeError'
  constructor(at: string, expected: string, value: unknown) {
    super(`${at || 'message'}: expected ${expected}, got ${describe(value)}`)
  }
}

export const number: Schema<number> = primitive('a number', (v) => typeof v === 'number')
export const integer: Schema<number> = primitive('an integer', (v) => Number.isSafeInteger(v))
export const u32: Schema<number> = primitive(
  'an unsigned 32-bit integer',
  (v) => Number.isInteger(v) && (v as number) >= 0 && (v as number) <= 0xffffffff,
)
export const text: Schema<string> = primitive('a string', (v) => typeof v === 'string')
export const flag: Schema<boolean> = primitive('a boolean', (v) => typeof v === 'boolean')
export const bytes: Schema<Uint8Array> = primitive('bytes', (v) => v instanceof Uint8Array)

export function literal<const T extends string>(...choices: readonly T[]): Schema<T> {
  return primitive(`one of ${choices.join(', ')}`, (v) => choices.includes(v as T))
}

export const tensor: Schema<Tensor> = {
  decode(value, at) {
    if (!isRecord(value)) throw new DecodeError(at, 'a tensor', value)
    const { dtype, shape, bytes: content } = value
    const isTensor =
      typeof dtype === 'string' &&
      Object.hasOwn(bytesPerElement, dtype) &&
      Array.isArray(shape) &&
      shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) &&
      content instanceof Uint8Array
    if (!isTensor) throw new DecodeError(at, 'a tensor', value)
    const decoded = { dtype: dtype as DType, shape: shape as number[], bytes: content }
    if (byteSize(decoded) !== content.byteLength) {
      throw new DecodeError(at, `${byteSize(decoded)} tensor bytes`, content.byteLength)
    }
    return decoded
  },
}

export function list<T>(item: Schema<T>, lengthMax = 1_000_000): Schema<readonly T[]> {
  return {
    decode(value, at, resolve) {
      if (!Array.isArray(value)) throw new DecodeError(at, 'a list', value)
      if (value.length > lengthMax) throw new DecodeError(at, `at most ${lengthMax} items`, value)
      return value.map((element, index) => item.decode(element, `${at}[${index}]`, resolve))
    },
  }
}

export function record<T>(item: Schema<T>): Schema<Readonly<Record<string, T>>> {
  return {
    decode(value, at, resolve) {
      if (!isRecord(value)) throw new DecodeError(at, 'a record', value)
      const decoded: Record<string, T> = Object.create(null)
      for (const key of Object.keys(value)) {
        decoded[key] = item.decode(value[key], `${at}.${key}`, resolve)
      }
      return decoded
    },
  }
}

/** A field that may be absent. */
export interface Optional<T> extends Schema<T | undefined> {
  readonly optional: true
}

export function optional<T>(item: Schema<T>): Optional<T> {
  return {
    optional: true,
    decode: (value, at, resolve) =>
      value === undefined || value === null ? undefined : item.decode(value, at, resolve),
  }
}

/** Nothing at all: the configuration of an actor that needs none. */
export const none: Schema<undefined> = {
  decode(value, at) {
    if (value === undefined || value === null) return undefined
    throw new DecodeError(at, 'nothing', value)
  },
}

/** Any plain value: for configuration that its own reader validates. */
export const plain: Schema<unknown> = { decode: (value) => value }

/** The address a reply goes to. `ask` fills it in. */
export function replyTo<T>(): Schema<Ref<T>> {
  return {
    decode(value, at, resolve) {
      if (isRef(value)) return value as Ref<T>
      if (!isAddress(value)) throw new DecodeError(at, 'an address', value)
      return resolve(value) as Ref<T>
    },
  }
}

/** A ref to any actor, sent as its address. */
export const ref = replyTo

type Fields = Readonly<Record<string, Schema<unknown>>>
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Optional<unknown> ? K : never
}[keyof F]
type StructOf<F extends Fields> = Flat<
  { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]> } & {
    readonly [K in OptionalKeys<F>]?: Exclude<Infer<F[K]>, undefined>
  }
>
type Flat<T> = { [K in keyof T]: T[K] }

export function struct<F extends Fields>(fields: F): Schema<StructOf<F>> {
  const entries = Object.entries(fields)
  return {
    decode(value, at, resolve) {
      if (!isRecord(value)) throw new DecodeError(at, 'a struct', value)
      const decoded: Record<string, unknown> = {}
      for (const [key, field] of entries) {
        const item = field.decode(value[key], at ? `${at}.${key}` : key, resolve)
        if (item !== undefined) decoded[key] = item
      }
      return decoded as StructOf<F>
    },
  }
}

type UnionOf<V extends Readonly<Record<string, Fields>>> = {
  [K in keyof V & string]: Flat<{ readonly type: K } & StructOf<V[K]>>
}[keyof V & string]

/** A protocol: a discriminated union on `type`. */
export function union<V extends Readonly<Record<string, Fields>>>(variants: V): Schema<UnionOf<V>> {
  const structs = new Map(Object.entries(variants).map(([type, fields]) => [type, struct(fields)]))
  return {
    decode(value, at, resolve) {
      const type = isRecord(value) ? value.type : undefined
      const fields = typeof type === 'string' ? structs.get(type) : undefined
      if (!fields) throw new DecodeError(at, `a message of ${[...structs.keys()].join(', ')}`, type)
      return {
        type,
        ...fields.decode(value, at ? `${at}.${type}` : `${type}`, resolve),
      } as UnionOf<V>
    },
  }
}

export function isAddress(value: unknown): value is Address {
  return isRecord(value) && typeof value.member === 'string' && typeof value.path === 'string'
}

export function isRef(value: unknown): value is Ref<never> {
  return isRecord(value) && typeof value.tell === 'function' && isAddress(value.address)
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function primitive<T>(expected: string, accepts: (value: unknown) => boolean): Schema<T> {
  return {
    decode(value, at) {
      if (!accepts(value)) throw new DecodeError(at, expected, value)
      return value as T
    },
  }
}

function describe(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return `a list of ${value.length}`
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40))
  return typeof value === 'object' ? 'an object' : `${value}`.slice(0, 40)
}
