// The command line: `troupe demo`, `troupe train speech`, `troupe decode`, `troupe devices`.

import { reportFailure } from './cli/failure.ts'
import {
  describeCommand,
  exportCommand,
  importCommand,
  predictCommand,
} from './cli/network-commands.ts'
import { UsageError } from './cli/options.ts'
import { serveCommand } from './cli/serve-command.ts'
import {
  decodeCommand,
  demoCommand,
  devicesCommand,
  trainImageCommand,
  trainModelCommand,
  trainSpeechCommand,
} from './cli/run.ts'

/** Of package.json; a test holds them equal. */
const VERSION = '0.1.0'

const USAGE = `troupe: asynchronous training of neural networks by actors that may die

  troupe demo             train on digits it speaks itself, with kills on the way
  troupe train speech     train a digit recogniser on your recordings
  troupe train image      train an image classifier on your folders of images
  troupe train model      fine-tune an .onnx file of any maker
  troupe decode           transcribe with a trained model
  troupe predict          labels of images, with a trained model
  troupe serve            predictions over HTTP
  troupe describe         what a network is made of, and where it may be cut
  troupe import, export   checkpoints of torchvision and timm, in and out
  troupe devices          list what can compute here, and why the rest cannot

Each explains its options with --help; troupe --version prints the version.`

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case 'demo':
      return await demoCommand(rest)
    case 'train': {
      const [task, ...options] = rest
      if (task === 'speech') return await trainSpeechCommand(options)
      if (task === 'image') return await trainImageCommand(options)
      if (task === 'model') return await trainModelCommand(options)
      if (task === '--help') return await trainSpeechCommand(['--help'])
      throw new UsageError(
        `train ${task ?? 'what'}? There are speech, image and model: troupe train image --data DIR; --help explains`,
      )
    }
    case 'decode':
      return await decodeCommand(rest)
    case 'predict':
      return await predictCommand(rest)
    case 'serve':
      return await serveCommand(rest)
    case 'describe':
      return await describeCommand(rest)
    case 'import':
      return await importCommand(rest)
    case 'export':
      return await exportCommand(rest)
    case 'devices':
      return await devicesCommand(rest)
    case '--version':
      console.log(VERSION)
      return 0
    case undefined:
    case '--help':
    case 'help':
      console.log(USAGE)
      return 0
    default:
      throw new UsageError(
        `no command '${command}': give demo, train, decode, predict, serve, describe, import, export or devices`,
      )
  }
}

process.exit(await main(process.argv.slice(2)).catch(reportFailure))
