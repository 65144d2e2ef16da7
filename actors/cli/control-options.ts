// The options of a control plane, taken out of those of a command.
import type { ControlOptions } from '../control/serve.ts'
import type { OptionValues } from './options.ts'

export function controlIn({ port, host, origin, 'allow-faults': faults, ...rest }: OptionValues): {
  readonly control: ControlOptions
  readonly rest: OptionValues
} {
  const control: ControlOptions = {
    port: typeof port === 'number' ? port : 0,
    ...(typeof host === 'string' && { hostname: host }),
    ...(typeof origin === 'string' && { origins: origin.split(',').map((each) => each.trim()) }),
    ...(faults === true && { allowFaults: true }),
  }
  return { control, rest }
}
