import { fileURLToPath } from 'node:url';
import { mergeConfig } from 'vite';
import base from '../../vite.config.js';
import { mutants } from './mutants.js';

const { file, text, instead } = mutants[Number(process.env['MUTANT'])]!;
const path = fileURLToPath(new URL(`../../${file}`, import.meta.url)).replaceAll('\\', '/');

function mutated(code: string): string {
  if (code.split(text).length !== 2) throw new Error(`${file} must have once: ${text}`);
  return code.replace(text, () => instead);
}

/** The project's own configuration, with one defect in what is loaded from a file, in Node and in the browser. */
export default mergeConfig(base, {
  root: fileURLToPath(new URL('../..', import.meta.url)),
  plugins: [{
    name: 'mutant',
    enforce: 'pre',
    transform(code: string, id: string) {
      if (id === path) return mutated(code);
      // The text of a shader is already the value of a module.
      if (id === `${path}?raw`) {
        const text = JSON.parse(/^export default (.*?);?$/s.exec(code)![1]!) as string;
        return `export default ${JSON.stringify(mutated(text))}`;
      }
      return null;
    },
  }],
});
