// The command line: `troupe demo`, `troupe train speech`, `troupe decode`.

import { reportFailure } from './cli/failure.ts'
import { UsageError } from './cli/options.ts'
import { decodeCommand, demoCommand, trainSpeechCommand } from './cli/run.ts'

const USAGE = `troupe: asynchronous training of neural networks by actors that may die

  troupe demo             train on digits it speaks itself, with kills on the way
  troupe train speech     train a digit recogniser on your recordings
  troupe decode           transcribe with a trained model

Each explains its options with --help.`

async function main(args: readonly string[]): Promise<number> {
  const [command, ...rest] = args
  switch (command) {
    case 'demo':
      return await demoCommand(rest)
    case 'train': {
      const [task, ...options] = rest
      if (task === 'speech') return await trainSpeechCommand(options)
      throw new UsageError(`train what? 'speech' is what there is: troupe train speech --data DIR`)
    }
    case 'decode':
      return await decodeCommand(rest)
    case undefined:
    case '--help':
    case 'help':
      console.log(USAGE)
      return 0
    default:
      throw new UsageError(`no command '${command}': demo, train speech or decode`)
  }
}

process.exit(await main(process.argv.slice(2)).catch(reportFailure))
