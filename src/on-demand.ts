/**
 * What most apps never need, a third of the library: loaded when it is asked for. In one file, because bundlers that
 * meet two keep both, and all that they share, even in apps that use neither.
 */
export { prepareGradients } from './gradients.js';
export { Tuning } from './tuning.js';
