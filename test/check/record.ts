import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { test } from 'vitest';
import { implementations } from '../implementations.js';
import { verdict } from './report.js';

/**
 * `RECORD=Chromium,Firefox npm run bench:record` checks these implementations and writes their reports: to the folder
 * of the known ones, or to that of `RECORD_TO`.
 */

const seed = Number(process.env['SEED'] ?? Date.now() % 1e9);
const extent = process.env['RECORD_SHORT'] === undefined ? 'drawn' : 'short';
const names = (process.env['RECORD'] ?? 'Chromium').split(',').map((name) => {
  if (name in implementations) return name as keyof typeof implementations;
  throw new Error(`RECORD names ${name}, which is none of ${Object.keys(implementations).join(', ')}`);
});
const folder = process.env['RECORD_TO'] ?? fileURLToPath(new URL('../bench/reports', import.meta.url));

/** Firefox tells no names. */
const UNNAMED = { gpu: '', software: 'lavapipe, whose name the browser does not tell', unknown: '' };

test.each(names)('%s', async (name) => {
  const implementation = await implementations[name]();
  try {
    const load = loadavg()[0]!.toFixed(1);
    const report = await implementation.evaluate('checkDevice', { seed, extent, unhurried: true });
    mkdirSync(folder, { recursive: true });
    const path = `${folder}/${name.toLowerCase()}-${report.device.kind}.json`;
    const device = { ...report.device, name: report.device.name || UNNAMED[report.device.kind] };
    const environment = implementation.name.replace(/^./, (first) => first.toUpperCase());
    const notes = [`Recorded beside other work on ${cpus().length} cores (${cpus()[0]!.model}): load ${load} before.`];
    const named = { ...report, device, environment, notes };
    writeFileSync(path, `${JSON.stringify(named, undefined, 1)}\n`);
    console.log(`${path}, seed ${seed}, ${report.seconds} s: ${verdict(report)}`);
    for (const { kind, title, message } of report.failures) console.log(`  ${kind}: ${title}: ${message}`);
  } finally {
    await implementation.close();
  }
});
