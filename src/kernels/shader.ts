/**
 * Turns a shader file, which is a complete program with defaults, into the variant that a dispatch needs, and packs
 * what its struct `Params` holds. The marks that a file may have are described in `shaders/README.md`; a marked line
 * that is not understood is an error, never skipped.
 */

/** What distinguishes a variant from its file. */
export interface Specialization {
  /** Values of constants, by name. */
  readonly constants: Readonly<Record<string, number>>;
  /** The type of stored numbers, where the file has an alias `Elem`. */
  readonly elem?: 'f32' | 'f16' | undefined;
  /** For each function that is marked `// body of`, the one whose body it gets. */
  readonly bodies?: Readonly<Record<string, string>> | undefined;
  /** The text of the file that has these bodies. */
  readonly library?: string | undefined;
}

/** @throws Error for a constant or function that the file does not mark, or a mark that is not understood */
export function specialize(source: string, { constants, elem, bodies = {}, library = '' }: Specialization): string {
  const left = new Set([...Object.keys(constants), ...Object.keys(bodies)]);
  const marked = source.split('\n').map((line, index) => {
    const fail = (): never => misread(line, index);
    if (/\/\/ spec\b/.test(line)) {
      const [, before, name, after] = /^((?:const|alias) (\w+) = )[\w.]+(; *\/\/ spec\b.*)$/.exec(line) ?? fail();
      const value = name === 'Elem' ? elem : constants[name!];
      left.delete(name!);
      return value === undefined ? line : `${before}${value}${after}`;
    }
    if (/\/\/ body of\b/.test(line)) {
      const form = /^(fn (\w+)\(.*\) -> (\w+) \{ return ).*(; \} *\/\/ body of \w+\.wgsl)$/;
      const [, before, name, type, after] = form.exec(line) ?? fail();
      left.delete(name!);
      return bodies[name!] === undefined ? line : `${before}${bodyOf(library, bodies[name!]!, type!)}${after}`;
    }
    return line;
  });
  if (left.size > 0) throw new Error(`no marked line for ${[...left].join(', ')}`);
  const values = constantsOf(marked);
  const enable = elem === 'f16' ? 'enable f16; ' : '';
  let bindings = 0; // Numbered anew, because variants lack some.
  const lines = marked.map((line, index) => conditional(line, index, values)
    .replace(/^(@group\(0\) @binding\()\d+/, (_, before: string) => `${before}${bindings++}`));
  return enable + unroll(lines, values).join('\n');
}

function misread(line: string, index: number): never {
  throw new Error(`line ${index + 1} has a mark that is not understood: ${line}`);
}

/** The values of all constants that are whole numbers, none of them negative, or follow from those before them. */
function constantsOf(lines: readonly string[]): ReadonlyMap<string, number> {
  const constants = new Map<string, number>();
  for (const line of lines) {
    const [, name, expression] = /^const (\w+) = ([^;]+);/.exec(line) ?? [];
    const value = expression === undefined ? NaN : valueOf(expression, constants);
    if (value >= 0 && value % 1 === 0) constants.set(name!, value);
  }
  return constants;
}

/** The value of sums, products and quotients of whole numbers, or NaN where there is anything else. */
function valueOf(text: string, constants: ReadonlyMap<string, number>): number {
  const value = (part = ''): number => valueOf(part, constants);
  const [inner, content] = /\(([^()]*)\)/.exec(text) ?? [];
  if (inner) return value(text.replace(inner, String(value(content))));
  // What is last in the text is computed last.
  const [, left, operator, right] = /^(.*) ([+-]) (.*)$/.exec(text) ?? /^(.*) ([*/]) (.*)$/.exec(text) ?? [];
  if (operator === undefined) return constants.get(text) ?? Number(text);
  const [a, b] = [value(left), value(right)];
  return { '+': a + b, '-': a - b, '*': a * b, '/': Math.trunc(a / b) }[operator]!;
}

/** A line marked `// if` counts where its condition holds; in the file it is a comment where it does not. */
function conditional(line: string, index: number, constants: ReadonlyMap<string, number>): string {
  if (!/\/\/ if\b/.test(line)) return line;
  const match = /^( *)(?:\/\/ )?(.*?) *\/\/ if (\w+) (==|>) (\w+)(?:: .*)?$/.exec(line);
  const [left, right] = [match?.[3], match?.[5]].map((operand) =>
    (operand !== undefined && /^\d+$/.test(operand) ? Number(operand) : constants.get(operand ?? '')));
  if (!match || left === undefined || right === undefined) {
    return misread(line, index);
  }
  return (match[4] === '>' ? left > right : left === right) ? `${match[1]}${match[2]}` : '';
}

/** The expression that a function of a library returns, with `type` in place of T. */
function bodyOf(library: string, name: string, type: string): string {
  const expression = new RegExp(`^fn ${name}_?\\(.*\\{\\s*return ([^;]*);\\s*\\}`, 'm').exec(library)?.[1];
  if (!expression) throw new Error(`no function ${name} to take the body of`);
  return expression.replaceAll(/\s+/g, ' ').replaceAll(/\bT\b/g, type);
}

/**
 * Unrolls the loops that are marked so. A driver that does not unroll pays a gather for every array element that a loop
 * variable selects: 9 times the time on SwiftShader for a tile of 14x16. Line numbers stay those of the file.
 */
function unroll(lines: readonly string[], constants: ReadonlyMap<string, number>): string[] {
  const out: string[] = [];
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!;
    const match = /^( *)for \(var (\w+) = 0(u?); \2 < (\w+); \2\+\+\) \{ *\/\/ unroll( once)?$/.exec(line);
    if (!match) {
      if (/\/\/ unroll/.test(line)) throw new Error(`line ${at + 1} cannot be unrolled: ${line}`);
      out.push(line);
      continue;
    }
    const [, indent, variable, suffix, bound, once] = match;
    const count = constants.get(bound!);
    const end = lines.indexOf(`${indent}}`, at);
    if (count === undefined || end < 0) throw new Error(`line ${at + 1} cannot be unrolled: ${line}`);
    const body = unroll(lines.slice(at + 1, end), constants);
    if (once && count > 1) {
      out.push(line, ...body, lines[end]!);
      at = end;
      continue;
    }
    const copy = (index: number) =>
      body.map((text) => text.replaceAll(new RegExp(`\\b${variable}\\b`, 'g'), `${index}${suffix}`));
    // The first copy keeps the body's lines; the others follow on the closing line.
    const others = Array.from({ length: count - 1 }, (_, i) =>
      ` { ${copy(i + 1).map((text) => text.replace(/\/\/.*/, '').trim()).join(' ')} }`);
    if (count === 0) out.push(...body.map(() => ''), '', '');
    else out.push(`${indent}{`, ...copy(0), `${indent}}${others.join('')}`);
    at = end;
  }
  return out;
}

/**
 * The bytes of the struct `Params` of a file, from values by name.
 * @throws Error for a field without a value, or one that is none of `i32`, `u32`, `f32`
 */
export function packParams(source: string, values: Readonly<Record<string, unknown>>): ArrayBuffer {
  const struct = /struct Params \{(.*?)\n\}/s.exec(source)?.[1] ?? '';
  const fields = struct.replaceAll(/\/\/.*/g, '').split(',').map((field) => field.trim()).filter(Boolean);
  const view = new DataView(new ArrayBuffer(Math.max(1, Math.ceil(fields.length / 4)) * 16));
  fields.forEach((field, index) => {
    const [, name, type] = /^(\w+): (i32|u32|f32)$/.exec(field) ?? [];
    const value = values[name ?? ''];
    if (typeof value !== 'number') throw new Error(`Params has a field that cannot be packed: ${field}`);
    if (type === 'f32') view.setFloat32(index * 4, value, true);
    else view.setInt32(index * 4, value, true); // The same bits as unsigned.
  });
  return view.buffer;
}
