// An ONNX graph in memory: values, nodes, initializers. Plain data; the builder makes it, `backward`
// extends it, `onnx-file` reads and writes it, a session runs it.
import type { DType, Tensor } from '../protocol/tensor.ts'

export interface Graph {
  readonly name: string
  readonly inputs: readonly Value[]
  readonly outputs: readonly Value[]
  readonly initializers: ReadonlyMap<string, Tensor>
  /** In topological order. */
  readonly nodes: readonly Node[]
  /** Free text kept in the file (`metadata_props`). */
  readonly metadata?: Readonly<Record<string, string>>
}

/** A symbolic extent, such as the number of frames, is a string. */
export interface Value {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly Extent[]
}

export type Extent = number | string

export interface Node {
  readonly op: string
  readonly name: string
  /** '' = an optional input left out. */
  readonly inputs: readonly string[]
  readonly outputs: readonly string[]
  readonly attributes: Attributes
}

export type Attributes = Readonly<Record<string, Attribute>>

export type Attribute =
  | { readonly type: 'integer'; readonly value: number }
  | { readonly type: 'float'; readonly value: number }
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'integers'; readonly value: readonly number[] }
  | { readonly type: 'floats'; readonly value: readonly number[] }
  | { readonly type: 'texts'; readonly value: readonly string[] }
  | { readonly type: 'tensor'; readonly value: Tensor }

export class GraphError extends Error {
  override readonly name = 'GraphError'
}

export const integer = (value: number): Attribute => ({ type: 'integer', value })
export const integers = (value: readonly number[]): Attribute => ({ type: 'integers', value })
export const float = (value: number): Attribute => ({ type: 'float', value })

export function integerOf({ attributes }: Node, name: string, fallback: number): number {
  const found = attributes[name]
  return found?.type === 'integer' ? found.value : fallback
}

export function floatOf({ attributes }: Node, name: string, fallback: number): number {
  const found = attributes[name]
  return found?.type === 'float' ? found.value : fallback
}

export function textOf({ attributes }: Node, name: string, fallback: string): string {
  const found = attributes[name]
  return found?.type === 'text' ? found.value : fallback
}

export function integersOf({ attributes }: Node, name: string): readonly number[] | undefined {
  const found = attributes[name]
  return found?.type === 'integers' ? found.value : undefined
}
