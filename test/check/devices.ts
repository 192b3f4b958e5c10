import { readFileSync, writeFileSync } from 'node:fs';
import { knownReports, README, withTable } from './known.js';

/** `npm run bench:devices`: writes the table of devices into the benchmark's README, from the reports beside it. */

writeFileSync(README, withTable(readFileSync(README, 'utf8'), knownReports()));
