import { spawn } from 'node:child_process';
import { existsSync, statSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));

/** Without a network npm says so after 11 s; with the retries that it makes by itself, after more than 8 minutes. */
const SOON = ['--fetch-retries=1', '--fetch-retry-mintimeout=1000'];

/** Installs what the benchmark compares with, at its first run and when its package file has changed. */
export async function installPeers(): Promise<void> {
  const installed = join(here, 'node_modules/.package-lock.json');
  if (existsSync(installed) && statSync(installed).mtimeMs > statSync(join(here, 'package.json')).mtimeMs) return;
  console.log('Installing the libraries to compare with…');
  const code = await new Promise((resolve) => {
    const options = ['--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error', ...SOON];
    spawn('npm', ['install', '--prefix', here, ...options], {
      stdio: 'inherit', shell: process.platform === 'win32',
    }).on('error', resolve).on('close', resolve);
  });
  if (code !== 0) {
    throw new Error('The libraries to compare with could not be installed: npm install --prefix test/bench failed');
  }
  const now = new Date();
  utimesSync(installed, now, now); // npm leaves it alone where all is there already.
}
