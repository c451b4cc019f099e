/** A piece of a document, small enough that its vector says something. */
export interface Chunk {
  /** The headings above it, outermost first, joined by ` > `; empty when there is none. */
  readonly heading: string;
  readonly text: string;
}

// A word of English prose takes about six characters, so these are 60 and 200 words.
const MIN_CHARS = 360;
const MAX_CHARS = 1200;

/** Where a text that is too long is cut, the best places first; the last resort is any character. */
const CUTS = [/\n/, /(?<=[.!?:;|])\s+/, /\s+/];

/**
 * Cuts Markdown, or plain text, along its structure: a heading starts a chunk unless the one before is still small,
 * paragraphs stay whole unless one alone is longer than a chunk, and headings in code are none.
 */
export function chunksOf(markdown: string): Chunk[] {
  const chunks: Chunk[] = [];
  const path: string[] = [];
  let heading = '';
  let parts: string[] = [];
  let size = 0;

  const close = (): void => {
    const text = parts.join('\n\n').trim();
    if (text !== '') chunks.push({ heading, text });
    parts = [];
    size = 0;
  };
  const add = (part: string): void => {
    if (size > 0 && size + part.length > MAX_CHARS) close();
    if (size === 0) heading = path.filter(Boolean).join(' > ');
    parts.push(part);
    size += part.length + 2;
  };

  for (const block of blocksOf(markdown)) {
    if (block.level === undefined) {
      for (const piece of cut(block.text, CUTS)) add(piece);
      continue;
    }
    path.length = block.level - 1;
    path[block.level - 1] = block.text;
    if (size >= MIN_CHARS) close();
    // The heading of a chunk stands beside it; those further down are part of its text.
    else if (size > 0) add(block.text);
  }
  close();
  return chunks;
}

/** @returns the text of the first heading, without Markdown. */
export function titleOf(markdown: string): string | undefined {
  return blocksOf(markdown).find((block) => block.level !== undefined)?.text;
}

interface Block {
  readonly text: string;
  /** 1–6 for a heading. */
  readonly level?: number;
}

/** Headings, paragraphs (lists and tables count as such) and fenced code. */
function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let lines: string[] = [];
  let fence: string | undefined;

  const end = (): void => {
    const text = lines.join('\n').trim();
    if (text !== '') blocks.push({ text });
    lines = [];
  };

  for (const line of withoutNoise(markdown).split('\n')) {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence !== undefined) {
      lines.push(line);
      if (mark?.startsWith(fence)) fence = undefined;
      continue;
    }
    const heading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
    const underline = lines.length === 1 ? /^ {0,3}(=+|-+)\s*$/.exec(line)?.[1] : undefined;
    if (heading) {
      end();
      blocks.push({ text: plain(heading[2]!), level: heading[1]!.length });
    } else if (underline) {
      blocks.push({ text: plain(lines[0]!), level: underline.startsWith('=') ? 1 : 2 });
      lines = [];
    } else if (line.trim() === '') end();
    else {
      if (mark) fence = mark;
      const text = mark ? line : plain(line);
      if (text !== '') lines.push(text);
    }
  }
  end();
  return blocks;
}

/** Front matter, comments and HTML tags say nothing about the text. */
function withoutNoise(markdown: string): string {
  return markdown
    .replaceAll('\r\n', '\n')
    .replace(/^---\n[\s\S]*?\n---\n/, '')
    .replace(/<!--[\s\S]*?-->/g, '')
    .replace(
      /<\/?(?:a|b|br|code|details|div|em|h[1-6]|i|img|li|p|picture|source|span|strong|sub|summary|sup|table|tbody|td|th|thead|tr|ul)\b[^>]*>/gi,
      '',
    );
}

/** Images, link targets, emphasis and the drawing of tables go; the words stay. */
function plain(line: string): string {
  return line
    .replace(/!\[[^\]]*\]\([^)]*\)/g, '')
    .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replace(/(\*\*|__)(.*?)\1/g, '$2')
    .replace(/^\s*\|[\s|:-]*$/, '')
    .replace(/(?<=\S) {2,}/g, ' ')
    .trimEnd();
}

/** Cuts a text into the fewest pieces of at most {@link MAX_CHARS} that the first of `cuts` gives, else by the next. */
function cut(text: string, [place, ...rest]: readonly RegExp[]): string[] {
  if (text.length <= MAX_CHARS) return [text];
  // Whole code points, of which each is one or two characters long.
  if (place === undefined) return text.match(new RegExp(`[^]{1,${MAX_CHARS / 2}}`, 'gu')) ?? [];
  const glue = place === CUTS[0] ? '\n' : ' ';
  const pieces: string[] = [];
  for (const piece of text.split(place).flatMap((part) => cut(part, rest))) {
    const last = pieces.at(-1);
    if (last !== undefined && last.length + piece.length < MAX_CHARS) pieces[pieces.length - 1] = last + glue + piece;
    else pieces.push(piece);
  }
  return pieces;
}
