// One-forward-one-backward (PipeDream, Narayanan et al. 2019): what a subnetwork of a pipeline does next.
// No clock and no messages: what has arrived goes in, the next move comes out.
//
// A *pass* is one minibatch on its way through the pipeline and back, as micro-batches in order. Neighbours
// send in order too, so numbers are enough to say what has arrived and what is done.

export interface Pass {
  readonly pass: number
  readonly micros: number
  /** Activations that have come; the first subnetwork reads its own and has all. */
  arrived: number
  forwarded: number
  /** Gradients that have come back; the last subnetwork makes its own: as many as it has forwarded. */
  returned: number
  backwarded: number
  /** Its parameters are there. */
  isReady: boolean
}

export interface Stage {
  readonly subnetworks: number
  readonly subnetwork: number
  /** In the order in which they came. */
  readonly passes: readonly Pass[]
}

export type Move =
  | { readonly type: 'forward' | 'backward'; readonly pass: number; readonly micro: number }
  | { readonly type: 'wait' }

/**
 * Micro-batches that a subnetwork may have forwarded and not yet taken back: one in the last, one more in
 * each before it. So many keep every subnetwork busy, and bound what is stashed.
 */
export function inFlightMax({ subnetworks, subnetwork }: Omit<Stage, 'passes'>): number {
  return subnetworks - subnetwork
}

export function inFlight({ passes }: Pick<Stage, 'passes'>): number {
  return passes.reduce((sum, { forwarded, backwarded }) => sum + forwarded - backwarded, 0)
}

/** Backward before forward, oldest before newer: what frees memory and lets the neighbour below go on. */
export function decideMove(stage: Stage): Move {
  const isLast = stage.subnetwork === stage.subnetworks - 1
  for (const { pass, returned, forwarded, backwarded } of stage.passes) {
    const due = isLast ? forwarded : returned
    if (backwarded < due) return { type: 'backward', pass, micro: backwarded }
  }
  if (inFlight(stage) >= inFlightMax(stage)) return { type: 'wait' }
  // Never past a pass that waits for its parameters: the order is what the neighbours count on.
  const next = stage.passes.find(({ forwarded, micros }) => forwarded < micros)
  if (!next?.isReady || next.forwarded >= next.arrived) return { type: 'wait' }
  return { type: 'forward', pass: next.pass, micro: next.forwarded }
}

export const isBack = ({ backwarded, micros }: Pass): boolean => backwarded === micros

export function newPass(pass: number, micros: number, arrived: number): Pass {
  return { pass, micros, arrived, forwarded: 0, returned: 0, backwarded: 0, isReady: false }
}
