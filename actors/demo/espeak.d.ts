// The package has no types; only what synthetic-digits.ts uses is declared, and checked there.
declare module '@echogarden/espeak-ng-emscripten' {
  interface EspeakWorker {
    get_samplerate(): number
    set_voice(name: string): number
    set_rate(rate: number): void
    set_pitch(pitch: number): void
    synthesize(text: string, take: (audio: Int16Array | null) => boolean): void
  }
  export default function instantiate(): Promise<{
    eSpeakNGWorker: new () => EspeakWorker | Promise<EspeakWorker>
  }>
}
