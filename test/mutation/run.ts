import { spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Mutant, mutants } from './mutants.js';

/** Runs the tests once for each small defect, and fails if they pass with any. */

const { values } = parseArgs({ options: { only: { type: 'string' }, help: { type: 'boolean' } } });
if (values.help) {
  console.log(`npm run mutants -- [--only REGEX]

Puts ${mutants.length} small defects into the library, one at a time and in memory only, and runs the tests that must
notice.`);
  process.exit();
}

const root = fileURLToPath(new URL('../..', import.meta.url));
const config = fileURLToPath(new URL('vite.config.ts', import.meta.url));
const wanted = [...mutants.entries()]
  .filter(([, { defect, file }]) => new RegExp(values.only ?? '').test(`${file}: ${defect}`));

/** The exit code of the tests, and what they printed. */
function test(index: number, { tests, names }: Mutant): Promise<{ code: number; output: string }> {
  const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url));
  const args = [
    vitest, 'run', '--config', config, '--root', root, '--bail', '1', ...tests, ...(names ? ['-t', names] : []),
  ];
  const env = { ...process.env, MUTANT: String(index), CASES: 'all' };
  const child = spawn(process.execPath, args, { cwd: root, env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  }
  return new Promise((resolve) => child.on('close', (code) => resolve({ code: code ?? 1, output })));
}

let survivors = 0;
for (const [count, [index, mutant]] of wanted.entries()) {
  const { code, output } = await test(index, mutant);
  // A defect counts as noticed where an assertion failed, not where nothing could be run.
  const noticed = code !== 0 && /Tests .*failed/.test(output);
  if (!noticed) survivors++;
  console.log(
    `${count + 1} of ${wanted.length}  ${noticed ? 'noticed ' : 'SURVIVED'}  ${mutant.file}: ${mutant.defect}`);
  if (!noticed && code !== 0) console.error(output.slice(-2000));
}
console.log(
  survivors === 0 ? `All ${wanted.length} defects are noticed.` : `${survivors} of ${wanted.length} defects survived.`);
process.exitCode = survivors === 0 ? 0 : 1;
