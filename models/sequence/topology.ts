// The hidden Markov model of a phone: a left-to-right chain of states, each with a self-loop, context
// independent. pdf = 3 phone + state for three states; silence is phone 0.

export interface Topology {
  readonly statesPerPhone: number
  readonly selfLoop: number
}

export const threeStates: Topology = { statesPerPhone: 3, selfLoop: 0.6 }

export function pdfOf({ statesPerPhone }: Topology, phone: number, state: number): number {
  return phone * statesPerPhone + state
}

export function phoneOf({ statesPerPhone }: Topology, pdf: number): number {
  return Math.floor(pdf / statesPerPhone)
}
