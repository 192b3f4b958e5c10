/**
 * Turns a shader file, which is a complete program with defaults, into the variant that a dispatch needs.
 *
 * Replaced in place are the values of lines marked `// spec`, which have one of the forms
 *
 *     const NAME = value;                  // spec: what it is
 *     alias NAME = type;                   // spec: what it is
 *     fn NAME(…) -> T { return value; }    // spec: what it is
 *
 * and loops marked `// unroll`, counting from 0 to a constant of the file, are written out, because drivers that do not
 * unroll pay a gather for every array element that a loop variable selects (9x on SwiftShader for a 14x16 tile). Those marked
 * `// unroll once` are written out where they take one turn, and stay loops where they take more.
 * A value f16 has the shader start with `enable f16;`.
 * Line numbers stay those of the file.
 *
 * @throws Error when a name is not on a marked line, or a bound is not a constant: a defect of this library
 */
export function specialize(source: string, values: Readonly<Record<string, number | string>>): string {
  const left = new Set(Object.keys(values));
  const lines = source.split('\n').map((line) => {
    const match = /^((?:const|alias) (\w+) = |fn (\w+)\(.*\{ return )(.*?)(; *\}? *\/\/ spec\b.*)$/.exec(line);
    if (!match) return line;
    const [, before, constant, fn, , after] = match;
    const name = constant ?? fn ?? '';
    return left.delete(name) ? `${before}${values[name]}${after}` : line;
  });
  if (left.size > 0) throw new Error(`specialize: no line marked // spec for ${[...left].join(', ')}`);
  const constants = new Map<string, number>();
  for (const line of lines) {
    const match = /^const (\w+) = (\d+);/.exec(line);
    if (match) constants.set(match[1]!, Number(match[2]));
  }
  const enable = Object.values(values).includes('f16') ? 'enable f16; ' : '';
  return enable + unroll(lines, constants).join('\n');
}

function unroll(lines: readonly string[], constants: ReadonlyMap<string, number>): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const match = /^( *)for \(var (\w+) = 0; \2 < (\w+); \2\+\+\) \{ *\/\/ unroll( once)?$/.exec(line);
    if (!match) {
      if (/\/\/ unroll/.test(line)) throw new Error(`specialize: line ${at + 1} cannot be unrolled: ${line}`);
      out.push(line);
      continue;
    }
    const [, indent, variable, bound, once] = match;
    const count = constants.get(bound!);
    const end = lines.indexOf(`${indent}}`, at);
    if (count === undefined || end < 0) throw new Error(`specialize: line ${at + 1} cannot be unrolled: ${line}`);
    const body = unroll(lines.slice(at + 1, end), constants);
    if (once && count > 1) {
      out.push(line, ...body, lines[end]!);
      at = end;
      continue;
    }
    const copy = (index: number) => body.map((text) => text.replaceAll(new RegExp(`\\b${variable}\\b`, 'g'), String(index)));
    // The first copy keeps the body's lines; the others follow on the closing line.
    const others = Array.from({ length: Math.max(count - 1, 0) }, (_, i) =>
      ` { ${copy(i + 1).map((text) => text.replace(/\/\/.*/, '').trim()).join(' ')} }`);
    if (count === 0) out.push(...body.map(() => ''), '', '');
    else out.push(`${indent}{`, ...copy(0), `${indent}}${others.join('')}`);
    at = end;
  }
  return out;
}
