// The little of Deno that is used here, declared by hand: neither its types nor its global are there on Bun.
export interface DenoApi {
  serve(
    options: {
      readonly hostname: string
      readonly port: number
      readonly signal: AbortSignal
      onListen(): void
    },
    handler: (request: Request) => Response,
  ): { readonly addr: { readonly port: number } }
  upgradeWebSocket(
    request: Request,
    options: { readonly idleTimeout: number },
  ): { readonly socket: WebSocket; readonly response: Response }
  connect(options: { readonly hostname: string; readonly port: number }): Promise<DenoSocket>
}

export interface DenoSocket {
  /** Bytes read, or null at the end. */
  read(into: Uint8Array): Promise<number | null>
  /** Bytes written: perhaps not all. */
  write(bytes: Uint8Array): Promise<number>
  setNoDelay(isOn: boolean): void
  close(): void
}

export const deno: DenoApi | undefined = (globalThis as { readonly Deno?: DenoApi }).Deno
