import { checkData, checkTensorOf, type Geometry, outputShape, type TensorArgument } from './geometry.js';
import { readOptions } from './reading.js';

/** What comes with each run beside the input, where the layer says that there is such. */
export interface AdditionTensors {
  /** `[N, OH, OW, O]` */
  readonly residual?: TensorArgument | undefined;
  /** `[N, C*M]` */
  readonly inputScale?: Float32Array | undefined;
}

/** The names of those that a geometry has. */
export const additionsOf = (geometry: Geometry): readonly ('residual' | 'inputScale')[] =>
  (['residual', 'inputScale'] as const).filter((name) => geometry[name]);

/** The data of the caller's additions. @throws ValueError unless they are those that a geometry has */
export function readAdditions(op: string, geometry: Geometry, additions: AdditionTensors): Map<string, Float32Array> {
  const names = additionsOf(geometry);
  const own = readOptions(additions, names, op, 'additions');
  return new Map(names.map((name) => {
    const { [name]: value } = own;
    if (name === 'inputScale') checkData(`${op}: inputScale`, [geometry.N, geometry.K], value);
    else checkTensorOf(`${op}: residual`, outputShape(geometry), value);
    return [name, ArrayBuffer.isView(value) ? value : (value as TensorArgument).data];
  }));
}
