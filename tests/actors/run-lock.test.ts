import { expect, test } from 'bun:test'
import { lockRun, RunInUseError } from '../../actors/run-lock.ts'
import { realEnvironment } from '../../runtime/index.ts'
import { simulatedDisk } from '../../runtime/simulation/disk.ts'

test('a run has one control process at a time: a second is told which has it', () => {
  const environment = { ...realEnvironment({ seed: 1 }), disk: simulatedDisk() }
  const unlock = lockRun(environment, 'run')
  const again = () => lockRun(environment, 'run')
  expect(again).toThrow(RunInUseError)
  expect(again).toThrow(`run is in use by process ${process.pid}`)
  unlock()
  lockRun(environment, 'run')()
})

test('the lock of a process that was killed is taken over, also where its id lives again', async () => {
  const environment = { ...realEnvironment({ seed: 1 }), disk: simulatedDisk() }
  const child = Bun.spawn(['sleep', '60'])
  const { identityOf } = await import('../../runtime/process-identity.ts')
  const owner = identityOf(child.pid) ?? ''
  environment.disk.write('run/lock', new TextEncoder().encode(owner))
  expect(() => lockRun(environment, 'run')).toThrow(`process ${child.pid}`)
  child.kill('SIGKILL')
  await child.exited
  lockRun(environment, 'run')()
  environment.disk.write('run/lock', new TextEncoder().encode(`${process.pid} 1`))
  lockRun(environment, 'run')()
})
