// Errors of the layers below as problems: what is said in one line is said, the rest is not.
import { DeviceNameError } from '../../models/devices.ts'
import { OnnxFileError } from '../../models/onnx-file.ts'
import { PolicyError } from '../../models/optimizers/index.ts'
import { DiskError, ProtectedActorError } from '../../runtime/index.ts'
import { ChaosPlanError } from '../chaos-plan.ts'
import { DeviceUnavailableError } from '../devices.ts'
import { ImageFolderError } from '../image/folder.ts'
import { ModelCardError } from '../image/card.ts'
import { BusyError, NotComputedError, UnknownIdError, UnreadableError } from '../insight.ts'
import { NotPossibleError } from '../cluster/not-possible.ts'
import { OptionError } from '../run/options.ts'
import { RunRecordError } from '../run/record.ts'
import { RunInUseError } from '../run-lock.ts'
import type { ProblemSpec } from './http.ts'
import { RunActiveError } from './plane.ts'

type Kind = abstract new (...args: never[]) => Error
type Row = Omit<ProblemSpec, 'detail'> & { readonly kinds: readonly Kind[] }

const rows: readonly Row[] = [
  {
    kinds: [OptionError, PolicyError, ChaosPlanError, DeviceNameError, ImageFolderError],
    status: 422,
    name: 'wrong-options',
    title: 'The options are wrong',
  },
  {
    kinds: [DeviceUnavailableError],
    status: 422,
    name: 'no-device',
    title: 'The device is not there',
  },
  { kinds: [RunActiveError], status: 409, name: 'run-active', title: 'A run is under way' },
  {
    kinds: [RunRecordError, RunInUseError],
    status: 409,
    name: 'run-folder',
    title: 'The folder is taken',
  },
  {
    kinds: [NotPossibleError],
    status: 409,
    name: 'not-possible',
    title: 'Not possible in this state',
  },
  {
    kinds: [ProtectedActorError],
    status: 409,
    name: 'protected-actor',
    title: 'The runtime needs it',
  },
  { kinds: [UnknownIdError], status: 404, name: 'unknown-id', title: 'There is no such thing' },
  {
    kinds: [NotComputedError],
    status: 409,
    name: 'not-computed',
    title: 'The run has not come so far',
  },
  { kinds: [UnreadableError], status: 422, name: 'no-input', title: 'It cannot be read' },
  { kinds: [BusyError], status: 503, name: 'busy', title: 'Too much waits' },
  {
    kinds: [ModelCardError, OnnxFileError],
    status: 500,
    name: 'unusable-model',
    title: 'The model cannot be used',
  },
  { kinds: [DiskError], status: 500, name: 'disk', title: 'The disk refused' },
]

/** Undefined: nobody foresaw it, and what it says may be anybody's business but the asker's. */
export function describeError(error: Error): ProblemSpec | undefined {
  const row = rows.find(({ kinds }) => kinds.some((kind) => error instanceof kind))
  if (!row) return undefined
  const { kinds: _, ...problem } = row
  const [detail = ''] = error.message.split('\n')
  return { ...problem, detail }
}
