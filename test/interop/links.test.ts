import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const root = new URL('../../', import.meta.url);
const read = (file: string): string => readFileSync(new URL(file, root), 'utf8');

const examples = readdirSync(new URL('demo/examples/', root), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules').map(({ name }) => name);

test.each(examples)('%s is tested, short, and linked from the README and the demo', (name) => {
  expect(read('README.md')).toContain(`](demo/examples/${name}/${name}.ts)`);
  expect(read('demo/examples/index.html')).toContain(`href="${name}/"`);
  expect(read('demo/index.html')).toContain('href="./examples/"');
  expect(read(`test/interop/${name}.test.ts`)).toContain('expect(');
  for (const file of readdirSync(new URL(`demo/examples/${name}/`, root))) {
    expect(read(`demo/examples/${name}/${file}`).split('\n').length, file).toBeLessThanOrEqual(120);
  }
});
