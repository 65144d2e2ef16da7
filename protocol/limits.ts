// Every bound of the system, with its unit. A limit is part of the contract: what lies above it is
// refused by name, never dropped silently.

export const limits = {
  /** One packet, in pieces or not: header, blobs and all. */
  packetBytesMax: 128 << 20,
  /** One WebSocket message: a packet that does not come in pieces, or one piece. */
  socketMessageBytesMax: 16 << 20,
  headerBytesMax: 8 << 20,
  /** Nesting of one payload. */
  depthMax: 64,
  /** Values in one header, counting every element and key. */
  elementsMax: 2_000_000,
  envelopesMax: 65_536,
  blobsMax: 65_536,
  stringBytesMax: 1 << 20,
  /** Bytes from this length on travel beside the header, aligned. */
  blobBytesMin: 512,
  /** Of an address as text. */
  addressBytesMax: 4_096,

  mailboxMessagesMax: 1_024,
  /** Messages that one actor has put aside. */
  stashMessagesMax: 1_024,
  /** Actors that one actor watches at a time. */
  watchesMax: 16_384,
  /** Of one actor, running at a time. */
  timersMax: 65_536,
  actorsMax: 4_000_000,
  /** Pending at a time: of one member, and outcomes that one actor awaits. */
  asksMax: 65_536,
  askTimeoutMsMax: 3_600_000,

  /** Small envelopes share a packet up to this size. */
  batchBytesMax: 48 << 10,
  /**
   * A larger message travels in pieces of this size, a WebSocket message each. Below 64 KiB Bun's socket
   * sends and receives a byte for two thirds of what it costs above.
   */
  pieceBytesMax: 48 << 10,
  /** Pieces that follow each other without a break for others. */
  runBytesMax: 1 << 20,
  /**
   * Of messages on their way to the peer and not yet acknowledged; signals do not wait for it. At two
   * thousand million bytes a second this much lies one millisecond ahead of a signal.
   */
  windowBytesMax: 2 << 20,
  /** Queued and not yet acknowledged bytes of one link; above it a sender is told `full`. */
  linkQueueBytesMax: 256 << 20,
  /** Acknowledge at the latest after so much; well below the window, or it stands still. */
  acknowledgeBytes: 680 << 10,
  acknowledgePackets: 64,
  acknowledgeMs: 20,
  heartbeatMs: 1_000,
  /** A peer that says nothing for this long is gone. */
  silenceMsMax: 5_000,
  /** A hello that takes longer is refused. */
  helloMsMax: 5_000,
  /** Between the loss of a connection and the loss of the member. */
  reconnectMsMax: 5_000,
  redialMs: 20,
  redialMsMax: 1_000,
  membersMax: 4_096,
  /** Connections that have not said who they are. */
  strangersMax: 256,
  /** Signals that wait for one link: above it the peer counts as lost. */
  linkSignalsMax: 65_536,
} as const

export type Limits = { readonly [Name in keyof typeof limits]: number }
