import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type CryptoKey, exportJWK, exportSPKI, generateKeyPair, type JWK, SignJWT } from 'jose';

/** An identity provider: signs tokens with keys of its own and publishes their public halves as a JWKS. */
export class JwksServer implements AsyncDisposable {
  /** What it answers for its keys; change it to break it. */
  answer: { status: number; body: string };
  /** How often somebody fetched the keys. */
  fetched = 0;
  readonly #server = createServer((_request, response) => {
    this.fetched += 1;
    response.writeHead(this.answer.status, { 'Content-Type': 'application/json' }).end(this.answer.body);
  });

  private constructor(
    private readonly keys: Record<string, { privateKey: CryptoKey; publicKey: CryptoKey }>,
    jwks: JWK[],
  ) {
    this.answer = { status: 200, body: JSON.stringify({ keys: jwks }) };
  }

  /** With a key for each algorithm; its name is its `kid`. */
  static async start(...algorithms: string[]): Promise<JwksServer> {
    const keys = Object.fromEntries(
      await Promise.all(
        algorithms.map(async (alg) => [alg, await generateKeyPair(alg, { extractable: true })] as const),
      ),
    );
    const jwks = await Promise.all(
      Object.entries(keys).map(async ([alg, { publicKey }]) => ({ ...(await exportJWK(publicKey)), alg, kid: alg })),
    );
    const server = new JwksServer(keys, jwks);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/jwks`;
  }

  sign(alg: string, claims: Record<string, unknown>): Promise<string> {
    return new SignJWT(claims)
      .setProtectedHeader({ alg, kid: alg })
      .setSubject('user')
      .setExpirationTime('10 minutes')
      .sign(this.keys[alg]!.privateKey);
  }

  /** The public key as everybody can have it: PEM. */
  publicPem(alg: string): Promise<string> {
    return exportSPKI(this.keys[alg]!.publicKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
