// Completions of the shells, made of the tables that parse the command line.
import type { OptionTable } from './options.ts'

export interface Completable {
  readonly name: string
  readonly summary: string
  readonly options: OptionTable
  /** What may follow it: tasks, members, ... */
  readonly words?: readonly string[]
  /** `troupe complete members` lists what may follow. */
  readonly takesMember?: boolean
}

export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

export function completionsFor(shell: Shell, commands: readonly Completable[]): string {
  switch (shell) {
    case 'bash':
      return bash(commands)
    case 'zsh':
      return `#compdef troupe\nautoload -U +X bashcompinit && bashcompinit\n${bash(commands)}`
    case 'fish':
      return fish(commands)
  }
}

function bash(commands: readonly Completable[]): string {
  const names = commands.map(({ name }) => name).join(' ')
  const cases = commands.map(({ name, options, words = [], takesMember }) => {
    const members = takesMember ? ' $(troupe complete members 2>/dev/null)' : ''
    const all = [...words, ...flagsOf(options)].join(' ')
    return `    ${name}) words="${all}${members}" ;;`
  })
  const values = choicesOf(commands).map(
    ([flag, choices]) => `    --${flag}) words="${choices.join(' ')}" ;;`,
  )
  return `_troupe() {
  local current="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD-1]}" words=""
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${names}" -- "$current"))
    return
  fi
  case "\${COMP_WORDS[1]}" in
${cases.join('\n')}
  esac
  case "$before" in
${values.join('\n')}
    --data|--out|--model|--report|--test|--resume|--image) words="" ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ "\${#COMPREPLY[@]}" -gt 0 ] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _troupe troupe
`
}

function fish(commands: readonly Completable[]): string {
  const lines = commands.flatMap(({ name, summary, options, words = [], takesMember }) => {
    const when = `-n "__fish_seen_subcommand_from ${name}"`
    return [
      `complete -c troupe -f -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
      ...words.map((word) => `complete -c troupe -f ${when} -a ${word}`),
      ...(takesMember
        ? [`complete -c troupe -f ${when} -a "(troupe complete members 2>/dev/null)"`]
        : []),
      ...Object.entries(options).map(([flag, { help, choices, kind }]) => {
        const value = kind === 'flag' ? '' : choices ? ` -x -a "${choices.join(' ')}"` : ' -r'
        return `complete -c troupe ${when} -l ${flag}${value} -d ${quoted(help)}`
      }),
    ]
  })
  return `${lines.join('\n')}\n`
}

function flagsOf(options: OptionTable): string[] {
  return [...Object.keys(options), 'help'].map((flag) => `--${flag}`)
}

/** A flag that has choices has the same in every command. */
function choicesOf(commands: readonly Completable[]): [string, readonly string[]][] {
  const all = new Map<string, readonly string[]>()
  for (const { options } of commands) {
    for (const [flag, { choices }] of Object.entries(options)) if (choices) all.set(flag, choices)
  }
  return [...all]
}

function quoted(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`
}
