// The command line: a table of commands, by what they are for.
import {
  describeCommand,
  exportCommand,
  importCommand,
  predictCommand,
} from './cli/network-commands.ts'
import { askCommand } from './cli/cluster/models.ts'
import { type ClusterCommand, runClusterCommand, tableOf } from './cli/cluster/command.ts'
import { lookCommands, steerCommands } from './cli/cluster/commands.ts'
import { connect } from './cli/cluster/connect.ts'
import { type Completable, completionsFor, type Shell, shells } from './cli/completions.ts'
import { answerOf } from './control/client.js'
import { reportFailure } from './cli/failure.ts'
import { nearest } from './cli/nearest.ts'
import { type OptionTable, UsageError } from './cli/options.ts'
import { controlOptions } from './cli/run-options.ts'
import {
  decodeCommand,
  demoCommand,
  devicesCommand,
  trainCommands,
  trainImageCommand,
  trainModelCommand,
  trainSpeechCommand,
} from './cli/run.ts'
import { serveCommand } from './cli/serve-command.ts'
import { upCommand } from './cli/up-command.ts'
import { VERSION } from './version.ts'

interface Command {
  readonly summary: string
  readonly run: (args: readonly string[]) => Promise<number>
  readonly options?: OptionTable
  readonly words?: readonly string[]
  readonly takesMember?: boolean
}

const tasks = Object.keys(trainCommands)
const trainOptions: OptionTable = {
  ...trainCommands.model.table,
  ...trainCommands.image.table,
  ...trainCommands.speech.table,
  ...controlOptions,
}

const groups: Readonly<Record<string, Readonly<Record<string, Command>>>> = {
  Train: {
    demo: {
      summary: 'train on digits it speaks itself, with kills on the way',
      run: demoCommand,
      options: controlOptions,
    },
    train: {
      summary: 'speech, image or model: on your recordings, images, or an .onnx file',
      run: train,
      options: trainOptions,
      words: tasks,
    },
    up: {
      summary: 'a control plane that stays, with a run or without',
      run: upCommand,
      options: trainOptions,
      words: tasks,
    },
    devices: { summary: 'what can compute here, and why the rest cannot', run: devicesCommand },
  },
  'Look at a running cluster': ofCluster(lookCommands),
  'Steer it': ofCluster(steerCommands),
  Models: {
    decode: { summary: 'transcribe with a trained model', run: decodeCommand },
    predict: {
      summary: 'labels of images with --model; without, a model of the running cluster is asked',
      run: predict,
      options: tableOf(askCommand),
    },
    serve: { summary: 'predictions over HTTP', run: serveCommand },
    describe: {
      summary: 'what a network is made of, and where it may be cut',
      run: describeCommand,
    },
    import: { summary: 'a checkpoint of torchvision or timm, in', run: importCommand },
    export: { summary: 'and out', run: exportCommand },
  },
  'The command line itself': {
    completions: { summary: 'for bash, zsh or fish', run: completions, words: shells },
  },
}

const commands: Readonly<Record<string, Command>> = Object.assign({}, ...Object.values(groups))

function ofCluster(table: Readonly<Record<string, ClusterCommand>>): Record<string, Command> {
  const rows = Object.entries(table).map(([name, command]): [string, Command] => [
    name,
    {
      summary: lowered(command.summary),
      run: (args) => runClusterCommand(name, command, args),
      options: tableOf(command),
      takesMember: ['kill', 'restart', 'logs'].includes(name),
    },
  ])
  return Object.fromEntries(rows)
}

function lowered(summary: string): string {
  const rest = summary.slice(1).replace(/\.$/, '')
  return /^[A-Z]{2}/.test(summary)
    ? `${summary[0]}${rest}`
    : `${summary.charAt(0).toLowerCase()}${rest}`
}

async function train(args: readonly string[]): Promise<number> {
  const [task, ...options] = args
  if (task === 'speech') return await trainSpeechCommand(options)
  if (task === 'image') return await trainImageCommand(options)
  if (task === 'model') return await trainModelCommand(options)
  if (task === '--help') return await trainSpeechCommand(['--help'])
  throw new UsageError(
    `train ${task ?? 'what'}? There are speech, image and model: troupe train image --data DIR; --help explains`,
  )
}

/** A model file is asked here, else the running cluster is. */
async function predict(args: readonly string[]): Promise<number> {
  const isLocal = args.some((arg) => /^--(model|image|help)\b/.test(arg)) || args.length === 0
  return isLocal ? await predictCommand(args) : await runClusterCommand('predict', askCommand, args)
}

async function completions([shell, ...rest]: readonly string[]): Promise<number> {
  const known = shells.find((each) => each === shell) satisfies Shell | undefined
  if (!known || rest.length > 0) throw new UsageError(`completions: give ${shells.join(', ')}`)
  const all = Object.entries(commands).map(([name, command]): Completable => {
    const { summary, options = {}, words, takesMember } = command
    return { name, summary, options, ...(words && { words }), ...(takesMember && { takesMember }) }
  })
  process.stdout.write(completionsFor(known, all))
  return 0
}

/** For the completions of a shell: says nothing where there is nothing to say. */
async function complete(): Promise<number> {
  const { api } = connect({})
  const { members } = await answerOf(api.members.$get())
  for (const { name } of members) console.log(name)
  return 0
}

function usage(): string {
  const blocks = Object.entries(groups).map(([title, rows]) => {
    const lines = Object.entries(rows).map(
      ([name, { summary }]) => `  ${name.padEnd(12)}${summary}`,
    )
    return `${title}\n${lines.join('\n')}`
  })
  return `troupe: asynchronous training of neural networks by actors that may die

${blocks.join('\n\n')}

Each explains its options with --help; troupe --version prints the version.`
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version') {
    console.log(VERSION)
    return 0
  }
  if (name === undefined || name === '--help' || name === 'help') {
    console.log(usage())
    return 0
  }
  if (name === 'complete') return await complete()
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (command) return await command.run(rest)
  const meant = nearest(name, Object.keys(commands))
  const advice = meant ? `did you mean ${meant}?` : 'troupe --help lists them'
  throw new UsageError(`no command '${name}': ${advice}`)
}

process.exit(await main(process.argv.slice(2)).catch(reportFailure))
