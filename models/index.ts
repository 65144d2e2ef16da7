// Trainable ONNX graphs without actors: `troupe/models`.
export { type BackwardOptions, backward } from './autodiff/backward.ts'
export { type Builder, graphBuilder, type Handle } from './builder.ts'
export { DeviceError, type DeviceFaultKind, SessionError } from './device-faults.ts'
export { type Device, DeviceNameError, formatDevice, parseDevice } from './devices.ts'
export { type Attribute, type Graph, GraphError, type Node, type Value } from './graph.ts'
export { type AcousticOptions, acousticNetwork } from './networks/acoustic.ts'
export { decodeOnnx, encodeOnnx, OnnxFileError } from './onnx-file.ts'
export * from './optimizers/index.ts'
export {
  initialise,
  layoutOf,
  type ParameterLayout,
  type ParameterSpec,
  shardRanges,
  viewsOf,
} from './parameters.ts'
export { decodeSafetensors, encodeSafetensors, SafetensorsError } from './safetensors.ts'
export { openSession, providers, type Session, type SessionOptions } from './session.ts'
export { type FineTuning, fineTuning, type Trainable, trainableOf } from './trainable.ts'
