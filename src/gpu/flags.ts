/**
 * WebGPU's flags as the numbers that its specification gives them. The globals with their names are missing in Node
 * unless somebody puts them there, and TypeScript knows them only where its DOM library has them.
 * @see https://gpuweb.github.io/gpuweb/#namespacedef-gpubufferusage
 */
export const BUFFER = { MAP_READ: 0x1, COPY_SRC: 0x4, COPY_DST: 0x8, UNIFORM: 0x40, STORAGE: 0x80 } as const;
export const TEXTURE = { TEXTURE_BINDING: 0x4, STORAGE_BINDING: 0x8 } as const;
/** `GPUBufferUsage.QUERY_RESOLVE` */
export const QUERY_RESOLVE = 0x200;
/** `GPUMapMode.READ` */
export const MAP_READ = 0x1;
/** `GPUShaderStage.COMPUTE` */
export const COMPUTE = 0x4;
