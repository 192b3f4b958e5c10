import process from 'node:process';
import { create, globals } from 'webgpu';
import { tryLayer } from './layer.js';

const gpu = create([]); // Devices live as long as this object.
Object.assign(globalThis, globals);
Object.defineProperty(globalThis, 'navigator', { value: { gpu } });
console.log(JSON.stringify([await tryLayer(Number(process.argv[2]))]));
