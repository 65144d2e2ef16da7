// The operating system of the simulation: starts a program for a module, tells parents of exits, and ends
// children with their parents.
import { assert } from '../../protocol/assert.ts'
import { randomFor } from '../../protocol/random.ts'
import type { ProcessTable } from '../environment.ts'
import { createProcess, type ProcessWorld, type SimulatedProcess } from './process.ts'

export type ProcessSignal = Parameters<SimulatedProcess['kill']>[0]

/** What a module does when it is started as a process. */
export type Program = (process: SimulatedProcess, argument: unknown) => void

export interface SimulatedProcesses {
  /** Those that are not gone, in the order of their start. */
  readonly running: readonly SimulatedProcess[]
  /** A process that was started outside of the simulation: it has no parent. */
  begin(): SimulatedProcess
  /** What spawning this module, by any process, runs. A module that is not installed exits with 1. */
  install(module: string, program: Program): void
}

export interface ProcessesOptions {
  /** From spawn to the first line of the program: between half of it and all of it, by chance. */
  readonly spawnMs: number
}

const PROCESSES_MAX = 10_000
/** Until a parent hears of an exit, or a child of the end of its parent. */
const EXIT_MS = 1

export function createProcesses(
  world: ProcessWorld,
  { spawnMs }: ProcessesOptions,
): SimulatedProcesses {
  const programs = new Map<string, Program>()
  const running = new Map<number, SimulatedProcess>()
  const random = randomFor(world.seed, 'processes')
  let lastId = 0

  function begin(): SimulatedProcess {
    assert(running.size < PROCESSES_MAX, `at most ${PROCESSES_MAX} processes`)
    const process = createProcess(world, ++lastId, tableOf)
    running.set(process.id, process)
    process.onExit(() => running.delete(process.id))
    return process
  }

  function tableOf(parent: SimulatedProcess): ProcessTable {
    return {
      self: `${parent.id}`,
      isAlive: (identity) => running.has(Number(identity)),
      spawn({ module, argument, onExit }) {
        const child = begin()
        const text = JSON.stringify(argument ?? null)
        const forgetParent = parent.onExit(() => child.after(EXIT_MS, () => child.exit(0)))
        child.onExit((exit) => {
          forgetParent()
          parent.after(EXIT_MS, () => onExit(exit))
        })
        child.after(spawnMs * (0.5 + 0.5 * random.next()), () => {
          const program = programs.get(module)
          if (program) program(child, JSON.parse(text))
          else child.exit(1)
        })
        return child
      },
    }
  }

  return {
    get running() {
      return [...running.values()]
    },
    begin,
    install: (module, program) => void programs.set(module, program),
  }
}
