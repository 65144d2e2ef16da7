// The commands about a running cluster.
import type { ClusterCommand } from './command.ts'
import { eventsCommand, logsCommand, psCommand, runsCommand } from './look.ts'
import { openCommand } from './models.ts'
import {
  checkpointCommand,
  drainCommand,
  killCommand,
  pauseCommand,
  restartCommand,
  resumeCommand,
  scaleCommand,
  setCommand,
  stopCommand,
} from './steer.ts'
import { topCommand } from './top.ts'

export const lookCommands: Readonly<Record<string, ClusterCommand>> = {
  runs: runsCommand,
  ps: psCommand,
  top: topCommand,
  events: eventsCommand,
  logs: logsCommand,
  open: openCommand,
}

export const steerCommands: Readonly<Record<string, ClusterCommand>> = {
  pause: pauseCommand,
  resume: resumeCommand,
  set: setCommand,
  scale: scaleCommand,
  kill: killCommand,
  restart: restartCommand,
  checkpoint: checkpointCommand,
  drain: drainCommand,
  stop: stopCommand,
}
