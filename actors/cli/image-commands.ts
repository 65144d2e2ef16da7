// The options of the commands for images.
import { networkNames } from '../../models/networks/networks.ts'
import { optimizerNames } from '../../models/optimizers/index.ts'
import { imageDefaults as defaults, scheduleNames } from '../image/options.ts'
import type { OptionTable } from './options.ts'
import { modelDefaults } from '../model/options.ts'
import { quiet, runOptions } from './run-options.ts'

export const trainImageOptions: OptionTable = {
  data: {
    kind: 'text',
    value: 'DIR',
    isRequired: true,
    help: 'a folder per class of JPEG, PNG or WebP images',
  },
  test: {
    kind: 'text',
    value: 'DIR',
    help: 'test images in folders of the same names',
    byDefault: 'a tenth of each class of --data, held out',
  },
  network: {
    kind: 'text',
    value: 'NAME',
    choices: networkNames,
    help: 'what is trained; troupe describe shows each',
    byDefault: defaults.network,
  },
  size: {
    kind: 'integer',
    range: [32, 512],
    value: 'N',
    help: 'height and width of an image, in pixels',
    byDefault: `${defaults.size}`,
  },
  ...runOptions,
  replicas: {
    kind: 'integer',
    range: [1, 64],
    value: 'R',
    help: 'copies of the network that train asynchronously',
    byDefault: 'as many as --workers hold',
  },
  subnetworks: {
    kind: 'integer',
    range: [1, 64],
    value: 'K',
    help: 'parts that each replica is cut into, an actor and a process each',
    byDefault: `${defaults.subnetworks}: not cut`,
  },
  'micro-batches': {
    kind: 'integer',
    range: [1, 64],
    value: 'M',
    help: 'pieces that a minibatch goes through the subnetworks in',
    byDefault: `${defaults.microBatches}`,
  },
  optimizer: {
    kind: 'text',
    value: 'NAME',
    choices: optimizerNames,
    help: 'on the shards; momentum is Nesterov’s, rmsprop has epsilon 1 and momentum',
    byDefault: defaults.optimizer,
  },
  epochs: {
    kind: 'integer',
    range: [1, 10_000],
    value: 'N',
    help: 'passes over the training images',
    byDefault: `${defaults.epochs}`,
  },
  batch: {
    kind: 'integer',
    range: [1, 4_096],
    value: 'N',
    help: 'images of a minibatch',
    byDefault: `${defaults.batch}`,
  },
  'learning-rate': {
    kind: 'number',
    range: [1e-9, 100],
    value: 'RATE',
    help: 'the highest of the schedule',
    byDefault: "the optimizer's usual one for images",
  },
  schedule: {
    kind: 'text',
    value: 'NAME',
    choices: scheduleNames,
    help: 'linear and cosine warm up and fall to 0; exponential: times 0.94 every two epochs',
    byDefault: defaults.schedule,
  },
  momentum: {
    kind: 'number',
    range: [0, 0.999],
    value: 'PART',
    help: 'of momentum and rmsprop, on the shards',
    byDefault: `${defaults.momentum}`,
  },
  'weight-decay': {
    kind: 'number',
    range: [0, 1],
    value: 'RATE',
    help: 'L2 regularisation of weights, not of biases and gains',
    byDefault: `${defaults.weightDecay}`,
  },
  'clip-norm': {
    kind: 'number',
    range: [1e-9, 1e9],
    value: 'NORM',
    help: "largest gradient norm of one shard's range",
    byDefault: 'not clipped',
  },
  'label-smoothing': {
    kind: 'number',
    range: [0, 0.9],
    value: 'PART',
    help: 'of the target probability that is spread over all classes',
    byDefault: `${defaults.labelSmoothing}`,
  },
  'average-decay': {
    kind: 'number',
    range: [0, 0.999999],
    value: 'DECAY',
    help: 'per update, of the averaged weights that are evaluated and kept',
    byDefault: `${defaults.averageDecay}`,
  },
  pad: {
    kind: 'integer',
    range: [0, 128],
    value: 'N',
    help: 'reflected border that random crops are taken from',
    byDefault: 'an eighth of the size',
  },
  'no-flip': { kind: 'flag', help: 'do not mirror every other image' },
  colour: {
    kind: 'number',
    range: [0, 1],
    value: 'STRENGTH',
    help: 'random brightness, contrast and saturation',
    byDefault: `${defaults.colour}`,
  },
  dropout: {
    kind: 'number',
    range: [0, 0.9],
    value: 'PART',
    help: 'of the features left out before the last layer',
    byDefault: 'as published',
  },
  'no-auxiliary': { kind: 'flag', help: 'without the heads that exist only while training' },
  threads: {
    kind: 'integer',
    range: [1, 64],
    value: 'N',
    help: 'cores that one trainer computes on',
    byDefault: `${defaults.threads}`,
  },
  out: { kind: 'text', value: 'DIR', help: 'folder of the run', byDefault: 'runs/image-SEED' },
  quiet,
}

const pick = (...names: readonly string[]): OptionTable =>
  Object.fromEntries(Object.entries(trainImageOptions).filter(([name]) => names.includes(name)))

export const trainModelOptions: OptionTable = {
  model: {
    kind: 'text',
    value: 'FILE',
    isRequired: true,
    help: 'an .onnx file of any maker; tensors in files beside it are found',
  },
  data: {
    kind: 'text',
    value: 'PATH',
    isRequired: true,
    help: 'a .safetensors file with a tensor per input and targets, or a folder per class of images',
  },
  loss: {
    kind: 'text',
    value: 'NAME',
    choices: ['cross-entropy', 'mean-squared-error'],
    help: 'what is made less',
    byDefault: 'cross-entropy where targets are whole numbers',
  },
  output: { kind: 'text', value: 'NAME', help: 'which output', byDefault: 'the first' },
  'replace-head': { kind: 'flag', help: 'start the last layer anew, with the classes of the data' },
  ...runOptions,
  ...pick('optimizer', 'schedule', 'threads'),
  epochs: {
    kind: 'integer',
    range: [1, 10_000],
    value: 'N',
    help: 'passes over the rows',
    byDefault: `${modelDefaults.epochs}`,
  },
  batch: {
    kind: 'integer',
    range: [1, 65_536],
    value: 'N',
    help: 'rows of a minibatch; a model of a fixed one keeps it',
    byDefault: `${modelDefaults.batch}`,
  },
  'learning-rate': {
    kind: 'number',
    range: [1e-9, 100],
    value: 'RATE',
    help: 'the highest of the schedule',
    byDefault: `${modelDefaults.learningRate}`,
  },
  'weight-decay': {
    kind: 'number',
    range: [0, 1],
    value: 'RATE',
    help: 'L2 regularisation',
    byDefault: `${modelDefaults.weightDecay}`,
  },
  'average-decay': {
    kind: 'number',
    range: [0, 0.999999],
    value: 'DECAY',
    help: 'per update, of the averaged weights that are kept',
    byDefault: `${modelDefaults.averageDecay}`,
  },
  out: { kind: 'text', value: 'DIR', help: 'folder of the run', byDefault: 'runs/model-SEED' },
  quiet,
}
