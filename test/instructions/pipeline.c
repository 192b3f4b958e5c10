// pipeline FILE ENTRY BINDINGS: compiles the entry point of a compute shader in SPIR-V by the first Vulkan device.
// BINDINGS has a letter for each binding of set 0: u for uniforms, s for storage. Prints what the driver says of the
// pipeline, a line for each statistic, and then its assembly.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vulkan/vulkan.h>

#define CHECK(call) do { VkResult result = call; if (result != VK_SUCCESS) fail(#call, result); } while (0)
static void fail(const char* what, int result) {
  fprintf(stderr, "%s: %d\n", what, result);
  exit(1);
}

static VkPipelineLayout layoutOf(VkDevice device, const char* bindings) {
  VkDescriptorSetLayoutBinding entries[16] = {0};
  uint32_t count = 0;
  for (; bindings[count]; count++) {
    entries[count] = (VkDescriptorSetLayoutBinding) {
      .binding = count, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT,
      .descriptorType =
        bindings[count] == 'u' ? VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER : VK_DESCRIPTOR_TYPE_STORAGE_BUFFER,
    };
  }
  VkDescriptorSetLayout set;
  CHECK(vkCreateDescriptorSetLayout(device, &(VkDescriptorSetLayoutCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO, .bindingCount = count, .pBindings = entries,
  }, NULL, &set));
  VkPipelineLayout layout;
  CHECK(vkCreatePipelineLayout(device, &(VkPipelineLayoutCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set,
  }, NULL, &layout));
  return layout;
}

static VkShaderModule moduleOf(VkDevice device, const char* path) {
  static uint32_t code[1 << 20];
  FILE* file = fopen(path, "rb");
  if (!file) fail(path, 0);
  size_t words = fread(code, 4, sizeof code / 4, file);
  fclose(file);
  VkShaderModule module;
  CHECK(vkCreateShaderModule(device, &(VkShaderModuleCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO, .codeSize = words * 4, .pCode = code,
  }, NULL, &module));
  return module;
}

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: pipeline FILE ENTRY BINDINGS", 0);
  VkInstance instance;
  CHECK(vkCreateInstance(&(VkInstanceCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO,
    .pApplicationInfo = &(VkApplicationInfo) {
      .sType = VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3,
    },
  }, NULL, &instance));
  uint32_t one = 1;
  VkPhysicalDevice adapter;
  vkEnumeratePhysicalDevices(instance, &one, &adapter);
  if (one == 0) fail("no Vulkan device", 0);

  // All features that the adapter has, and the statistics.
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR statistics = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR,
  };
  VkPhysicalDeviceVulkan13Features features13 = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, .pNext = &statistics,
  };
  VkPhysicalDeviceVulkan12Features features12 = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, .pNext = &features13,
  };
  VkPhysicalDeviceVulkan11Features features11 = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, .pNext = &features12,
  };
  VkPhysicalDeviceFeatures2 features = {
    .sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, .pNext = &features11,
  };
  vkGetPhysicalDeviceFeatures2(adapter, &features);
  const char* extension = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  const float priority = 1;
  VkDevice device;
  CHECK(vkCreateDevice(adapter, &(VkDeviceCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, .pNext = &features,
    .queueCreateInfoCount = 1, .pQueueCreateInfos = &(VkDeviceQueueCreateInfo) {
      .sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO, .queueCount = 1, .pQueuePriorities = &priority,
    },
    .enabledExtensionCount = 1, .ppEnabledExtensionNames = &extension,
  }, NULL, &device));

  VkPipeline pipeline;
  CHECK(vkCreateComputePipelines(device, VK_NULL_HANDLE, 1, &(VkComputePipelineCreateInfo) {
    .sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
    .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR
      | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
    .stage = {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
      .module = moduleOf(device, argv[1]), .pName = argv[2],
    },
    .layout = layoutOf(device, argv[3]),
  }, NULL, &pipeline));

  VkPipelineExecutableInfoKHR executable = {
    .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline,
  };
  VkPipelineExecutableStatisticKHR values[64];
  uint32_t count = 64;
  for (uint32_t i = 0; i < count; i++) {
    values[i] = (VkPipelineExecutableStatisticKHR) { .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR };
  }
  PFN_vkGetPipelineExecutableStatisticsKHR getStatistics =
    (PFN_vkGetPipelineExecutableStatisticsKHR) vkGetDeviceProcAddr(device, "vkGetPipelineExecutableStatisticsKHR");
  CHECK(getStatistics(device, &executable, &count, values));
  for (uint32_t i = 0; i < count; i++) {
    printf("%s\t%llu\n", values[i].name, (unsigned long long) values[i].value.u64);
  }

  PFN_vkGetPipelineExecutableInternalRepresentationsKHR getTexts =
    (PFN_vkGetPipelineExecutableInternalRepresentationsKHR)
      vkGetDeviceProcAddr(device, "vkGetPipelineExecutableInternalRepresentationsKHR");
  static char contents[8][1 << 20];
  VkPipelineExecutableInternalRepresentationKHR texts[8];
  count = 8;
  for (uint32_t i = 0; i < count; i++) {
    texts[i] = (VkPipelineExecutableInternalRepresentationKHR) {
      .sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR,
      .dataSize = sizeof contents[i], .pData = contents[i],
    };
  }
  CHECK(getTexts(device, &executable, &count, texts));
  for (uint32_t i = 0; i < count; i++) {
    if (strstr(texts[i].name, "ssembly")) printf("\n%s", contents[i]);
  }
  return 0;
}
