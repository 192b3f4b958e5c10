/** Software adapters (SwiftShader, lavapipe) and GPUs want opposite tiles. */
export type AdapterKind = 'software' | 'gpu';

/** What plans need to know of a device. Plain JSON. */
export interface DeviceProfile {
  readonly kind: AdapterKind;
  /** Whether the device has the feature `subgroups`. */
  readonly subgroups: boolean;
  /** Whether it has the feature `shader-f16`. */
  readonly shaderF16: boolean;
  readonly limits: Pick<GPUSupportedLimits,
    'maxStorageBufferBindingSize' | 'maxBufferSize' | 'maxComputeWorkgroupsPerDimension' | 'maxComputeInvocationsPerWorkgroup'
    | 'maxTextureDimension2D'>;
}
