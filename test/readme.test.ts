import { readFileSync } from 'node:fs';
import { expect, inject, test } from 'vitest';
import { openPage } from './browser.js';

const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');

test("the README's embedding example runs as it stands, from the built package", async () => {
  const example = /```js\n(.*?)```/s.exec(readme)?.[1] ?? '';
  expect(example).toContain('conv.encode(pass');
  const origin = inject('origin');
  const page = await openPage('/package.json'); // Any document of an origin that has WebGPU.
  const printed: string[] = [];
  const ended = new Promise<void>((resolve, reject) => {
    page.on('pageerror', reject);
    page.on('console', (message) => {
      if (message.type() === 'error') reject(new Error(message.text()));
      printed.push(message.text());
      if (message.text() === 'ended') resolve();
    });
  });
  const imports = { 'sepconv-webgpu': `${origin}/dist/index.js`, 'sepconv-webgpu/reference': `${origin}/dist/reference.js` };
  await page.setContent(`<script type="importmap">${JSON.stringify({ imports })}</script>
    <script type="module">${example}\nconsole.log('ended');</script>`);
  await ended;
  expect(printed).toHaveLength(2);
  const largestError = Number(/^\[1,56,56,64\] (\S+)$/.exec(printed[0]!)?.[1]);
  expect(largestError).toBeGreaterThan(0);
  expect(largestError).toBeLessThan(1e-4);
  await page.close();
});

test('the two commands come first', () => {
  const commands = [...readme.matchAll(/^ *(npm .*|npx .*)$/gm)].map(([, command]) => command!.replace(/\s+#.*/, ''));
  expect(commands.slice(0, 2)).toEqual(['npm start', 'npm test']);
});
