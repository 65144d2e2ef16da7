// A worker process: the pool says which actors it starts.
import { runWorker } from 'troupe/runtime'
import { primeCounter } from './primes.ts'

await runWorker({ definitions: [primeCounter] })
