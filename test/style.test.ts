import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mutants } from './mutation/mutants.js';

const root = new URL('..', import.meta.url).pathname;
const COLUMNS = 120;

const isChecked = (path: string): boolean =>
  !/(^|\/)(node_modules|dist|output)\//.test(path) && /\.(ts|wgsl|html|css)$|(^|\/)README\.md$/.test(path);

/** What counts of a line: in a README neither rows of tables nor the targets of links, which cannot be broken. */
const counted = (path: string, line: string): string => {
  if (!path.endsWith('.md')) return line;
  return line.startsWith('|') ? '' : line.replaceAll(/\]\([^)]*\)|https?:\/\/\S+/g, ']');
};

const longLines = (path: string): string[] =>
  readFileSync(join(root, path), 'utf8').split('\n').flatMap((line, i) =>
    (counted(path, line).length > COLUMNS ? [`${path}:${i + 1}`] : []));

test.each(['src', 'shaders', 'demo', 'test'])('no line of %s is longer than 120 columns', (folder) => {
  const paths = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((path) => `${folder}/${path.replaceAll('\\', '/')}`).filter(isChecked);
  expect(paths.length).toBeGreaterThan(5);
  expect(paths.flatMap(longLines)).toEqual([]);
});

test('nor one of the files beside these folders', () => {
  const paths = readdirSync(root).filter(isChecked);
  expect(paths).toEqual(expect.arrayContaining(['README.md', 'vite.config.ts']));
  expect(paths.flatMap(longLines)).toEqual([]);
});

test('every mutant finds its text in its file, once', () => {
  const lost = mutants.filter(({ file, text }) => readFileSync(join(root, file), 'utf8').split(text).length !== 2);
  expect(lost.map(({ defect }) => defect)).toEqual([]);
});
