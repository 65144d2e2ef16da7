// The process of an account: the pool says which one it keeps.
import { runWorker } from 'troupe/runtime'
import { account } from './account.ts'

await runWorker({ definitions: [account] })
