// The code of the guide, taken out of its Markdown. A block may begin with `// name.ts`: later blocks of
// the chapter can import it or start it as a worker. A `text` block after it is what it prints.
import { join } from 'node:path'

export interface Snippet {
  readonly chapter: string
  /** Line of the Markdown file at which the block begins. */
  readonly line: number
  readonly file: string
  readonly code: string
  /** Absent where the block only defines something for later ones. */
  readonly printed: string | undefined
}

export function snippetsOf(chapter: string, markdown: string): readonly Snippet[] {
  const blocks = [...markdown.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)]
  return blocks.flatMap(({ 1: language, 2: code = '', index }, i) => {
    if (language !== 'ts') return []
    const line = markdown.slice(0, index).split('\n').length + 1
    const named = /^\/\/ ([\w-]+\.ts)\n/.exec(code)?.[1]
    const after = blocks[i + 1]
    const printed = after?.[1] === 'text' ? after[2] : undefined
    return [{ chapter, line, file: named ?? `line-${line}.ts`, code, printed }]
  })
}

/** Where the package's own names lead: a snippet lies outside of the package. */
export function withPaths(
  code: string,
  root: string,
  exports: Readonly<Record<string, string | { readonly default: string }>>,
) {
  return code.replace(/(from |import\()'troupe(\/[\w-]+)?'/g, (_, before: string, sub = '') => {
    const found = exports[`.${sub}`]
    const target = typeof found === 'object' ? found.default : found
    if (target === undefined) throw new Error(`troupe${sub} is not exported`)
    return `${before}'${join(root, target)}'`
  })
}
