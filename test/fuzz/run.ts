import { spawn } from 'node:child_process';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

/**
 * Checks random geometries on real WebGPU implementations until the time is
 * up; the exit code tells whether all were right.
 */

const { values } = parseArgs({
  options: {
    minutes: { type: 'string' }, geometries: { type: 'string' }, seed: { type: 'string' },
    on: { type: 'string', multiple: true },
    help: { type: 'boolean' },
  },
});
if (values.help) {
  console.log(`npm run fuzz -- [--minutes 5] [--geometries N] [--seed S]
                [--on Chromium] [--on Firefox] [--on Deno] [--on Node]

Compares both strategies on random geometries, values, limits and presets with the reference, in Chromium and Firefox
unless others are named, and shrinks what fails. Ends after the minutes or the geometries, whichever is first.`);
  process.exit();
}

const positive = (name: 'minutes' | 'geometries' | 'seed', absent: number): number => {
  const value = values[name] === undefined ? absent : Number(values[name]);
  if (!(value > 0)) throw new Error(`--${name} must be a positive number, got ${values[name]}`);
  return value;
};
const NAMES = ['Chromium', 'Firefox', 'Deno', 'Node'];
const unknown = values.on?.find((name) => !NAMES.includes(name));
if (unknown !== undefined) throw new Error(`--on must be one of ${NAMES.join(', ')}, got ${unknown}`);
const geometries = positive('geometries', Infinity);
const FUZZ = {
  seed: positive('seed', 1 + (Date.now() % 1e9)), geometries: Math.min(geometries, 1e9),
  minutes: positive('minutes', geometries === Infinity ? 5 : 1e6), names: values.on ?? ['Chromium', 'Firefox'],
};
console.log(`Fuzzing ${FUZZ.names.join(' and ')}: seed ${FUZZ.seed}`);

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));
const vitest = path('../../node_modules/vitest/vitest.mjs');
const child = spawn(process.execPath, [vitest, 'run', '--config', path('vite.config.ts'), '--root', path('../..')], {
  env: { ...process.env, FUZZ: JSON.stringify(FUZZ) }, stdio: 'inherit',
});
child.on('close', (code) => (process.exitCode = code ?? 1));
