// The options of each command.
import { optimizerNames } from '../../models/optimizers/index.ts'
import { defaults } from '../speech/options.ts'
import type { OptionTable } from './options.ts'
import { quiet, runOptions, SEEDS } from './run-options.ts'

export const trainSpeechOptions: OptionTable = {
  data: {
    kind: 'text',
    value: 'DIR',
    isRequired: true,
    help: '{digit}_{speaker}_{index}.wav recordings, or a Kaldi data directory',
  },
  test: {
    kind: 'text',
    value: 'DIR',
    help: 'test data of the same form',
    byDefault: 'the last tenth of --data, held out',
  },
  criterion: {
    kind: 'text',
    value: 'NAME',
    choices: ['ce', 'mmi', 'bmmi', 'mpfe', 'mwe', 'smbr'],
    help: 'what sequence training optimises; ce stops before it',
    byDefault: defaults.criterion,
  },
  control: { kind: 'flag', help: 'also go on with cross-entropy for as many passes, to compare' },
  ...runOptions,
  'lattice-workers': {
    kind: 'integer',
    range: [0, 64],
    value: 'N',
    help: 'processes that make lattices ahead of the trainers',
    byDefault: '0: each trainer makes its own',
  },
  optimizer: {
    kind: 'text',
    value: 'NAME',
    choices: optimizerNames,
    help: 'on the shards',
    byDefault: defaults.optimizer,
  },
  epochs: {
    kind: 'integer',
    range: [0, 1_000],
    value: 'N',
    help: 'of sequence training and control',
    byDefault: `${defaults.epochs}`,
  },
  'cross-entropy-epochs': {
    kind: 'integer',
    range: [1, 1_000],
    value: 'N',
    help: 'of cross-entropy, the first by one trainer (warm start)',
    byDefault: `${defaults.crossEntropyEpochs}`,
  },
  'learning-rate': {
    kind: 'number',
    range: [1e-9, 10],
    value: 'RATE',
    help: 'of sequence training',
    byDefault: 'what the criterion was tuned to',
  },
  boost: {
    kind: 'number',
    range: [0, 10],
    value: 'B',
    help: 'of bmmi: added per frame of a wrong word',
    byDefault: 'what it was tuned to',
  },
  smoothing: {
    kind: 'number',
    range: [0, 10],
    value: 'WEIGHT',
    help: 'of cross-entropy beside the criterion (F-smoothing)',
    byDefault: 'what the criterion was tuned to',
  },
  hidden: {
    kind: 'integers',
    range: [1, 65_536],
    value: 'N,N',
    help: 'units of the hidden layers',
    byDefault: defaults.hidden.join(','),
  },
  seed: {
    kind: 'integer',
    range: SEEDS,
    value: 'N',
    help: 'of strings, noise, weights and order',
    byDefault: `${defaults.seed}`,
  },
  snr: {
    kind: 'number',
    range: [-40, 100],
    value: 'DB',
    help: 'signal-to-noise ratio of the strings made of recordings',
    byDefault: `${defaults.snr}`,
  },
  strings: {
    kind: 'integers',
    range: [1, 1_000_000],
    count: 3,
    value: 'N,N,N',
    help: 'strings made of recordings: training, development, test',
    byDefault: defaults.strings.join(','),
  },
  'batch-frames': {
    kind: 'integer',
    range: [1, 1_000_000],
    value: 'N',
    help: 'frames of a cross-entropy minibatch',
    byDefault: `${defaults.batchFrames}`,
  },
  'batch-utterances': {
    kind: 'integer',
    range: [1, 4_096],
    value: 'N',
    help: 'utterances of a sequence-training minibatch',
    byDefault: `${defaults.batchUtterances}`,
  },
  out: { kind: 'text', value: 'DIR', help: 'folder of the run', byDefault: 'runs/speech-SEED' },
  from: {
    kind: 'text',
    value: 'DIR',
    help: 'start from the corpus, cross-entropy model and control of this run',
  },
  quiet,
}

export const decodeOptions: OptionTable = {
  model: { kind: 'text', value: 'FILE', isRequired: true, help: 'model.onnx of a run' },
  data: {
    kind: 'text',
    value: 'DIR',
    isRequired: true,
    help: 'recordings, or a Kaldi data directory; without transcripts there is no error rate',
  },
  ctm: { kind: 'text', value: 'FILE', help: 'write words with their times' },
  strings: {
    kind: 'integer',
    range: [0, 1_000_000],
    value: 'N',
    help: 'strings that {digit}_{speaker}_{index}.wav recordings are joined into; 0: each by itself',
    byDefault: 'a fifth of the recordings',
  },
  snr: {
    kind: 'number',
    range: [-40, 100],
    value: 'DB',
    help: 'signal-to-noise ratio of those strings',
    byDefault: 'that of training',
  },
  seed: { kind: 'integer', range: SEEDS, value: 'N', help: 'of those strings', byDefault: '1' },
}

export const devicesOptions: OptionTable = {
  json: { kind: 'flag', help: 'as JSON, for scripts' },
}

export const demoOptions: OptionTable = {
  seed: {
    kind: 'integer',
    range: SEEDS,
    value: 'N',
    help: 'of voices, strings, noise and weights',
    byDefault: '1',
  },
  out: {
    kind: 'text',
    value: 'DIR',
    help: 'folder of the run',
    byDefault: 'the first free runs/demo-N',
  },
  report: { kind: 'text', value: 'FILE', help: 'also write the report here, as JSON' },
  quiet,
}
