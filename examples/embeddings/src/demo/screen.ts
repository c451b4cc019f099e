import type { WriteStream } from 'node:tty';

const WIDTH = 30;

/** Lines with a progress bar below them; where nobody can redraw, the bar is a line at every tenth. */
export class Screen {
  #bar = '';
  #tenths = -1;

  constructor(private readonly out: WriteStream) {}

  line(text = ''): void {
    this.out.write(`${this.#clear()}${text}\n${this.#bar}`);
  }

  bar(done: number, total: number, label: string): void {
    const part = done / total;
    const text = `${Math.floor(part * 100)} %  ${done}/${total} ${label}`;
    if (!this.out.isTTY) {
      const tenths = Math.floor(part * 10);
      if (tenths > this.#tenths) this.line(text);
      this.#tenths = Math.max(tenths, this.#tenths);
      return;
    }
    const full = Math.round(part * WIDTH);
    const clear = this.#clear();
    this.#bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)} ${text}`;
    this.out.write(clear + this.#bar);
  }

  /** Leaves the bar where it stands. */
  endBar(): void {
    if (this.#bar !== '') this.out.write('\n');
    this.#bar = '';
  }

  #clear(): string {
    return this.#bar === '' ? '' : '\r\u001b[K';
  }
}
