// Log-mel filterbanks and cepstra as Kaldi computes them with dither 0 (feature-window.cc,
// mel-computations.cc, feature-fbank.cc, feature-mfcc.cc). Options carry Kaldi's names in camelCase
// and Kaldi's defaults. Normalisation, deltas and splicing: feature-transforms.ts.
import { realFourier } from './fourier.ts'
import { frameCutter, framesOf, sumOfSquares, type WindowOptions, windows } from './framing.ts'
import { filterEnergies, melFilters } from './mel-filters.ts'

/** T x dims, row-major; a row is a frame. */
export interface Features {
  readonly rows: Float32Array
  readonly frames: number
  readonly dims: number
}

export interface MelOptions {
  readonly numMelBins?: number
  readonly lowFreq?: number
  /** Where not positive: relative to the Nyquist frequency. */
  readonly highFreq?: number
}

export interface EnergyOptions {
  readonly useEnergy?: boolean
  /** Floor of the energy, if positive; it is applied to the logarithm. */
  readonly energyFloor?: number
  /** Energy before pre-emphasis and windowing, or after. */
  readonly rawEnergy?: boolean
}

export interface FbankOptions extends WindowOptions, MelOptions, EnergyOptions {
  readonly type: 'fbank'
  readonly useLogFbank?: boolean
  readonly usePower?: boolean
}

export interface MfccOptions extends WindowOptions, MelOptions, EnergyOptions {
  readonly type: 'mfcc'
  readonly numCeps?: number
  readonly cepstralLifter?: number
}

export type FeatureOptions = FbankOptions | MfccOptions

const commonDefaults = {
  sampleFrequency: 16_000,
  frameLengthMs: 25,
  frameShiftMs: 10,
  preemphasisCoefficient: 0.97,
  removeDcOffset: true,
  windowType: 'povey',
  blackmanCoeff: 0.42,
  snipEdges: true,
  numMelBins: 23,
  lowFreq: 20,
  highFreq: 0,
  energyFloor: 0,
  rawEnergy: true,
} as const

export const featureDefaults = {
  fbank: { ...commonDefaults, useEnergy: false, useLogFbank: true, usePower: true },
  mfcc: { ...commonDefaults, useEnergy: true, numCeps: 13, cepstralLifter: 22 },
} as const

/** An option cannot be computed, or contradicts another; the message names it and its value. */
export class FeatureError extends Error {
  override readonly name = 'FeatureError'
}

export interface FeatureExtractor {
  readonly dims: number
  frameCount(sampleCount: number): number
  /** Samples in 16-bit PCM units, at the rate of the options. */
  extract(samples: Float32Array): Features
}

/** Tables are made once; an extractor keeps scratch memory and is not shared between threads. */
export function featureExtractor(options: FeatureOptions): FeatureExtractor {
  const settings = completeOptions(options)
  const framing = framesOf(settings)
  const { lengthSamples, fourierSize } = framing
  const filters = melFilters({ ...settings, fourierSize })
  if (typeof filters === 'string') throw new FeatureError(filters)
  const cutFrame = frameCutter(settings, framing)
  const fourier = realFourier(fourierSize)
  const window = new Float64Array(fourierSize)
  const spectrum = new Float64Array(fourierSize / 2)
  const energies = new Float64Array(settings.numMelBins)
  const output = settings.type === 'mfcc' ? cepstra(settings) : filterbank(settings)
  const usePower = settings.type === 'mfcc' || settings.usePower
  return {
    dims: output.dims,
    frameCount: framing.frameCount,
    extract(samples) {
      const frames = framing.frameCount(samples.length)
      const rows = new Float32Array(frames * output.dims)
      for (let frame = 0; frame < frames; frame++) {
        let energy = cutFrame(samples, frame, window)
        if (!settings.rawEnergy) energy = sumOfSquares(window, lengthSamples)
        fourier.transform(window)
        powerSpectrum(fourier.real, fourier.imaginary, spectrum)
        if (!usePower)
          for (let i = 0; i < spectrum.length; i++) spectrum[i] = Math.sqrt(spectrum[i]!)
        filterEnergies(filters, spectrum, energies)
        output.write(energies, energy, rows, frame * output.dims)
      }
      return { rows, frames, dims: output.dims }
    },
  }
}

type Complete<T extends { type: string }> = Required<Omit<T, 'type'>> & Pick<T, 'type'>
type Settings = Complete<FbankOptions> | Complete<MfccOptions>

function completeOptions(options: FeatureOptions): Settings {
  const settings: Settings =
    options.type === 'mfcc'
      ? { ...featureDefaults.mfcc, ...options }
      : { ...featureDefaults.fbank, ...options }
  const refuse = (what: string): never => {
    throw new FeatureError(`${what}; correct the feature options`)
  }
  const values = new Map<string, unknown>(Object.entries(settings))
  for (const [option, [allows, what]] of Object.entries(numberRules)) {
    if (values.has(option) && !allows(values.get(option)))
      refuse(`${option} ${values.get(option)} is not ${what}`)
  }
  const { sampleFrequency, frameLengthMs, frameShiftMs, numMelBins } = settings
  const samples = sampleFrequency * 0.001 * frameLengthMs
  if (samples < 2) refuse(`frameLengthMs ${frameLengthMs} is less than 2 samples`)
  if (samples > featureLimits.frameSamplesMax)
    refuse(`frameLengthMs ${frameLengthMs} is more than ${featureLimits.frameSamplesMax} samples`)
  if (sampleFrequency * 0.001 * frameShiftMs < 1)
    refuse(`frameShiftMs ${frameShiftMs} is less than a sample`)
  if (!Object.hasOwn(windows, settings.windowType))
    refuse(`unknown windowType ${settings.windowType}`)
  if (settings.type === 'mfcc' && settings.numCeps > numMelBins)
    refuse(`numCeps ${settings.numCeps} is more than numMelBins ${numMelBins}`)
  return settings
}

export const featureLimits = { frameSamplesMax: 1 << 16, melBinsMax: 1_024 } as const

type AllOptions = Omit<Complete<FbankOptions> & Complete<MfccOptions>, 'type'>
type NumberOption = {
  [Option in keyof AllOptions]: AllOptions[Option] extends number ? Option : never
}[keyof AllOptions]
type Rule = readonly [allows: (value: unknown) => boolean, what: string]

const finite: Rule = [Number.isFinite, 'a finite number']
const positive: Rule = [(value) => Number.isFinite(value) && Number(value) > 0, 'a positive number']
const countWithin = (least: number, most: number): Rule => [
  (value) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most,
  `a whole number from ${least} to ${most}`,
]

/** Of the frequencies only that they are numbers: `melFilters` knows how they fit. */
const numberRules: { readonly [Option in NumberOption]: Rule } = {
  sampleFrequency: positive,
  frameLengthMs: positive,
  frameShiftMs: positive,
  preemphasisCoefficient: [(value) => Number(value) >= 0 && Number(value) <= 1, 'within 0 to 1'],
  blackmanCoeff: finite,
  numMelBins: countWithin(3, featureLimits.melBinsMax),
  lowFreq: finite,
  highFreq: finite,
  energyFloor: finite,
  numCeps: countWithin(1, featureLimits.melBinsMax),
  cepstralLifter: finite,
}

function powerSpectrum(real: Float64Array, imaginary: Float64Array, into: Float64Array): void {
  for (let k = 0; k < into.length; k++) {
    into[k] = real[k]! * real[k]! + imaginary[k]! * imaginary[k]!
  }
}

/** Smallest value that a logarithm is taken of: the machine epsilon of Kaldi's float32. */
const EPSILON = 2 ** -23

interface Output {
  readonly dims: number
  write(energies: Float64Array, energy: number, rows: Float32Array, at: number): void
}

function filterbank(settings: Complete<FbankOptions>): Output {
  const { numMelBins, useEnergy, useLogFbank, energyFloor } = settings
  const first = useEnergy ? 1 : 0
  return {
    dims: numMelBins + first,
    write(energies, energy, rows, at) {
      if (useEnergy) rows[at] = logEnergy(energy, energyFloor)
      for (let bin = 0; bin < numMelBins; bin++) {
        const value = energies[bin]!
        rows[at + first + bin] = useLogFbank ? Math.log(Math.max(value, EPSILON)) : value
      }
    },
  }
}

function cepstra(settings: Complete<MfccOptions>): Output {
  const { numMelBins, numCeps, useEnergy, energyFloor } = settings
  const transform = cosineTransform(settings)
  return {
    dims: numCeps,
    write(energies, energy, rows, at) {
      for (let bin = 0; bin < numMelBins; bin++) {
        energies[bin] = Math.log(Math.max(energies[bin]!, EPSILON))
      }
      for (let row = 0; row < numCeps; row++) {
        let sum = 0
        for (let bin = 0; bin < numMelBins; bin++) {
          sum += transform[row * numMelBins + bin]! * energies[bin]!
        }
        rows[at + row] = sum
      }
      if (useEnergy) rows[at] = logEnergy(energy, energyFloor)
    },
  }
}

/**
 * Orthonormal DCT-II, each row times its lifter 1 + Q / 2 sin(pi row / Q); numCeps x numMelBins.
 */
function cosineTransform(settings: Complete<MfccOptions>): Float64Array {
  const { numMelBins, numCeps, cepstralLifter: q } = settings
  return Float64Array.from({ length: numCeps * numMelBins }, (_, index) => {
    const [row, bin] = [Math.floor(index / numMelBins), index % numMelBins]
    const scale = Math.sqrt((row === 0 ? 1 : 2) / numMelBins)
    const lifter = q === 0 ? 1 : 1 + (q / 2) * Math.sin((Math.PI * row) / q)
    return lifter * scale * Math.cos((Math.PI / numMelBins) * (bin + 0.5) * row)
  })
}

function logEnergy(energy: number, floor: number): number {
  const log = Math.log(Math.max(energy, EPSILON))
  return floor > 0 ? Math.max(log, Math.log(floor)) : log
}
