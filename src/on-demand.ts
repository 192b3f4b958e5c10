/**
 * A third of the library, which most apps never need: it is loaded when it is asked for. It is one file, because
 * bundlers that find two such files keep both, and all that they share, even in apps that use neither.
 */
export { prepareGradients } from './gradients.js';
export { Tuning } from './tuning.js';
