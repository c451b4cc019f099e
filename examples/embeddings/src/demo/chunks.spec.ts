import { describe, expect, it } from 'vitest';
import { chunksOf, titleOf } from './chunks.js';

const sentence = 'Every key of a project begins with its prefix, and nothing else in the code joins strings. ';
const paragraph = sentence.repeat(5).trim();

describe('chunksOf', () => {
  it('begins a chunk at each heading and tells the path of headings above it', () => {
    const chunks = chunksOf(
      `# Guide\n\n${paragraph}\n\n## Keys\n\n${paragraph}\n\n### Names\n\n${paragraph}\n\n## Errors\n\n${paragraph}`,
    );
    expect(chunks.map(({ heading }) => heading)).toEqual([
      'Guide',
      'Guide > Keys',
      'Guide > Keys > Names',
      'Guide > Errors',
    ]);
  });

  it('keeps small sections together, with the inner headings in the text', () => {
    expect(chunksOf('# Guide\n\nShort.\n\n## Keys\n\nAlso short.')).toEqual([
      { heading: 'Guide', text: 'Short.\n\nKeys\n\nAlso short.' },
    ]);
  });

  it('keeps paragraphs whole where they fit', () => {
    const chunks = chunksOf(Array.from({ length: 9 }, () => paragraph).join('\n\n'));
    expect(chunks.length).toBeGreaterThan(1);
    for (const { text } of chunks) expect(text.split('\n\n').every((part) => part === paragraph)).toBe(true);
  });

  it('cuts what is too long at sentences, then at words, then anywhere', () => {
    for (const text of [sentence.repeat(40), 'word '.repeat(2000), 'x'.repeat(5000), '🙂'.repeat(3000)]) {
      const chunks = chunksOf(text);
      expect(chunks.length).toBeGreaterThan(1);
      for (const chunk of chunks) expect(chunk.text.length).toBeLessThanOrEqual(1200);
      expect(
        chunks
          .map((chunk) => chunk.text)
          .join('')
          .replaceAll(/\s/g, ''),
      ).toBe(text.replaceAll(/\s/g, ''));
    }
  });

  it('takes a # in fenced code for code', () => {
    const code = '```sh\n# not a heading\n\nnpm start\n```';
    expect(chunksOf(`# Start\n\n${code}`)).toEqual([{ heading: 'Start', text: code }]);
  });

  it('leaves out what says nothing: front matter, comments, tags, images, link targets', () => {
    const text =
      '---\nlayout: page\n---\n# A\n\n<!-- no -->\n<img src="x.png">\n![badge](https://x)\nSee [the guide](https://y).';
    expect(chunksOf(text)).toEqual([{ heading: 'A', text: 'See the guide.' }]);
  });

  it('keeps the rows of a table together, without its drawing', () => {
    expect(chunksOf('| Key   | TTL    |\n| ----- | :----: |\n| `doc` | 1 hour |')).toEqual([
      { heading: '', text: '| Key | TTL |\n| `doc` | 1 hour |' },
    ]);
  });

  it('knows underlined headings', () => {
    expect(chunksOf('Title\n=====\n\nBody.')).toEqual([{ heading: 'Title', text: 'Body.' }]);
  });

  it('takes plain and empty text', () => {
    expect(chunksOf('Just a line.')).toEqual([{ heading: '', text: 'Just a line.' }]);
    expect(chunksOf(' \r\n\r\n')).toEqual([]);
  });
});

describe('titleOf', () => {
  it('is the first heading, without Markdown', () => {
    expect(titleOf('Intro\n\n## The **big** [guide](x) ##\n')).toBe('The big guide');
    expect(titleOf('no heading')).toBeUndefined();
  });
});
