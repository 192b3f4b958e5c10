import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * What a command prints to stdout. Commands of this repository's packages are found without `npx`.
 * @throws Error with all that it printed, when it fails
 */
export function run(command: readonly [string, ...string[]], cwd = root, env: NodeJS.ProcessEnv = {}): Promise<string> {
  const [name, ...args] = command;
  const path = [join(cwd, 'node_modules/.bin'), join(root, 'node_modules/.bin'), process.env['PATH']].join(delimiter);
  return new Promise((resolve, reject) => {
    const child = spawn(name, args, {
      cwd, env: { ...process.env, PATH: path, ...env }, stdio: ['ignore', 'pipe', 'pipe'],
    });
    let [printed, complaints] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (complaints += text));
    child.on('error', reject);
    child.on('close', (code, signal) => {
      if (code === 0) resolve(printed);
      else reject(new Error(`${command.join(' ')} ended with ${signal ?? code}\n${printed}${complaints}`));
    });
  });
}
