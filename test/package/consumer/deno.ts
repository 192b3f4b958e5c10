import { tryLayer } from './layer.js';

declare const Deno: { readonly args: readonly string[] };

console.log(JSON.stringify([await tryLayer(Number(Deno.args[0]))]));
