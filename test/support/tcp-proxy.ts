import net from 'node:net';

/** A link to a server that can go dumb: while `swallow` is on, bytes of both directions vanish and nothing is closed. */
export class TcpProxy implements AsyncDisposable {
  /** A half-open link: connections stay up, also new ones, but carry nothing; or only `answers` of the server are lost. */
  swallow: boolean | 'answers' = false;
  /** Connections made through the proxy so far. */
  accepted = 0;
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();

  private constructor(private readonly target: number) {
    this.#server = net.createServer((client) => this.#link(client));
  }

  static async to(target: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** `url` with the proxy's port instead of the server's. */
  through(url: string): string {
    return url.replace(`:${this.target}`, `:${this.port}`);
  }

  /** Ends all connections that there are. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #link(client: net.Socket): void {
    this.accepted += 1;
    const server = net.connect({ host: '127.0.0.1', port: this.target });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(from);
      from.on('data', (bytes) => {
        const lost = this.swallow === 'answers' ? from === server : this.swallow;
        if (!lost) to.write(bytes);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#sockets.delete(from);
        to.destroy();
      });
    }
  }
}
