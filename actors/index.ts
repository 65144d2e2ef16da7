// The public surface of `troupe`: launch a run from a script, and the actors it is made of.

export { NotPossibleError } from './cluster/not-possible.ts'
export type { PlacedShard } from './cluster/shards.ts'
export type { Adjusting, ClusterMember } from './cluster/steering.ts'
export {
  type DeviceState,
  DeviceUnavailableError,
  type ListDevicesOptions,
  listDevices,
} from './devices.ts'
export type { PhaseName, RunEvent } from './events.ts'
export {
  BusyError,
  type ImageInsight,
  NotComputedError,
  type PipelineInsight,
  type RunInsight,
  type SpeechInsight,
  UnknownIdError,
  UnreadableError,
} from './insight.ts'
export type { ImageOptions } from './image/options.ts'
export { predictPart } from './image/predict/part.ts'
export {
  type PredictPipeline,
  type PredictPipelineOptions,
  predictThroughPipeline,
  startPredictPipeline,
} from './image/predict/pipeline.ts'
export { imageSubnetwork } from './image-subnetwork.ts'
export { image, type LaunchOptions, launch, model, type Run, speech, type Task } from './launch.ts'
export type { ModelOptions } from './model/options.ts'
export { parameterShard } from './parameter-shard.ts'
export type {
  Accuracy,
  Comparison,
  Criterion,
  ImageReport,
  ModelReport,
  Report,
  ReportedErrorRate,
  Restart,
  SpeechReport,
} from './report.ts'
export { RunInUseError } from './run-lock.ts'
export { imageTrainer, modelTrainer, sequenceTrainer } from './trainer.ts'
export { decodeFolder } from './speech/decode.ts'
export { OptionError } from './run/options.ts'
export { openTranscriber, type Transcriber } from './speech/transcriber.ts'
export type { SpeechOptions } from './speech/options.ts'
export type { RunState, RunSteering } from './run/steering.ts'
export { RunFailedError, RunStoppedError } from './run/world.ts'
