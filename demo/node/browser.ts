import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import process from 'node:process';
import puppeteer, { type Browser } from 'puppeteer';

/** Environment variables that name the browser to use, the first that is set wins. */
const VARIABLES = ['SEPCONV_BROWSER', 'PUPPETEER_EXECUTABLE_PATH', 'CHROME_PATH'] as const;

type Announce = (line: string) => void;

/**
 * Launches a headless Chromium-family browser with WebGPU: the one an environment variable names, else Puppeteer's own,
 * else Chrome, Chromium or Edge of the system, else one that it downloads or installs, which it announces.
 * The adapter is the software one, the same on every machine, unless `SEPCONV_ADAPTER=gpu`. `moreFlags` go to the
 * browser too.
 * @throws Error with one line that says what to do
 */
export async function launchBrowser(
  announce: Announce = () => {}, moreFlags: readonly string[] = [],
): Promise<Browser> {
  const launch = (executablePath: string): Promise<Browser> =>
    puppeteer.launch({ executablePath, headless: true, args: [...flags(), ...moreFlags] });

  const variable = VARIABLES.find((name) => process.env[name]);
  if (variable !== undefined) {
    const path = process.env[variable] ?? '';
    if (!existsSync(path)) throw new Error(`${variable} names a browser that does not exist: ${path}`);
    return launch(path).catch((error: unknown) => {
      throw new Error(`The browser that ${variable} names did not start: ${firstLine(error)}`, { cause: error });
    });
  }

  // A browser that is there may still not start, for want of a library, say. Then the next one is tried.
  const failures: string[] = [];
  const attempt = async (path: string): Promise<Browser | undefined> => {
    if (!existsSync(path)) return undefined;
    try {
      return await launch(path);
    } catch (error) {
      failures.push(`${path}: ${firstLine(error)}`);
      return undefined;
    }
  };
  for (const path of [puppeteer.executablePath(), ...systemBrowsers()]) {
    const browser = await attempt(path);
    if (browser !== undefined) return browser;
  }
  for (const { what, commands, path } of installations()) {
    announce(`No browser is ready to use. Installing ${what}…`);
    for (const command of commands) {
      const failure = await execute(command);
      if (failure !== undefined) failures.push(`${command.join(' ')}: ${failure}`);
    }
    const browser = await attempt(path);
    if (browser !== undefined) return browser;
  }
  const tried = failures.length > 0 ? ` (Tried: ${failures.join('; ')})` : '';
  throw new Error('No browser with WebGPU was found. '
    + `Install Chrome, or set SEPCONV_BROWSER to a Chrome, Chromium or Edge.${tried}`);
}

function* flags(): Generator<string> {
  yield '--enable-unsafe-webgpu';
  if (process.env['SEPCONV_ADAPTER'] === 'gpu') {
    if (process.platform === 'linux') {
      yield* ['--enable-features=Vulkan', '--use-angle=vulkan', '--ignore-gpu-blocklist'];
    }
  } else if (process.platform !== 'darwin') { // on macOS Chrome knows Metal only
    yield '--use-webgpu-adapter=swiftshader';
  }
  // Containers and hardened distributions lack the user namespaces that the sandbox needs; only our own page is opened.
  if (process.platform === 'linux') yield '--no-sandbox';
  yield* ['--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run',
    '--no-default-browser-check'];
}

/** Where Chrome, Chromium and Edge are usually installed, in that order. */
function systemBrowsers(): string[] {
  const { env, platform } = process;
  if (platform === 'darwin') {
    return ['Google Chrome', 'Chromium', 'Microsoft Edge']
      .map((name) => `/Applications/${name}.app/Contents/MacOS/${name}`);
  }
  if (platform === 'win32') {
    const roots = [env['PROGRAMFILES'], env['PROGRAMFILES(X86)'], env['LOCALAPPDATA']]
      .filter((root) => root !== undefined);
    return [
      'Google\\Chrome\\Application\\chrome.exe',
      'Chromium\\Application\\chrome.exe',
      'Microsoft\\Edge\\Application\\msedge.exe',
    ].flatMap((path) => roots.map((root) => join(root, path)));
  }
  const folders = (env['PATH'] ?? '').split(delimiter).filter(Boolean);
  return [
    'google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser', 'microsoft-edge-stable', 'microsoft-edge',
  ].flatMap((name) => folders.map((folder) => join(folder, name)));
}

interface Installation {
  readonly what: string;
  readonly commands: readonly (readonly string[])[];
  /** Where the browser is afterwards. */
  readonly path: string;
}

function* installations(): Generator<Installation> {
  const root = process.platform === 'linux' && process.getuid?.() === 0;
  const require = createRequire(import.meta.url);
  const cli = join(dirname(require.resolve('puppeteer/package.json')), 'lib/cjs/puppeteer/node/cli.js');
  const download = [process.execPath, cli, 'browsers', 'install', 'chrome', ...(root ? ['--install-deps'] : [])];
  yield { what: 'Chrome, by Puppeteer (about 170 MB)', commands: [download], path: puppeteer.executablePath() };
  if (root && existsSync('/etc/debian_version')) {
    yield {
      what: 'Chromium, by apt-get',
      commands: [['apt-get', 'update'], ['apt-get', 'install', '--yes', '--no-install-recommends', 'chromium']],
      path: '/usr/bin/chromium',
    };
  }
}

/** Runs a command. Resolves with why it failed, or with undefined. */
function execute([command = '', ...args]: readonly string[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    });
    let complaints = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      complaints = (complaints + text).slice(-4000);
    });
    child.on('error', ({ message }) => resolve(message));
    child.on('close', (code) => resolve(code === 0 ? undefined : lastLine(complaints) || `exit code ${code}`));
  });
}

const firstLine = (error: unknown): string =>
  String(error instanceof Error ? error.message : error).trim().split('\n')[0] ?? '';
/** The last line that says something; stack frames do not. */
const lastLine = (text: string): string =>
  text.split('\n').map((line) => line.trim()).findLast((line) => line !== '' && !line.startsWith('at ')) ?? '';
