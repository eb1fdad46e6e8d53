// A stand-in for libcuda.so.1: the driver entry points that cuda-core calls on the way from a device
// to a launch. "Device memory" is the process's own; a launch runs the kernel of that name from the
// host build (cuda_host.cpp, whose library is named by HDRBENCH_HOST_KERNELS) and writes a line
// about itself to the file named by HDRBENCH_LAUNCHES.
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

namespace {

using Result = int;
const Result kOk = 0, kNotFound = 500, kInvalid = 1, kNoContext = 201, kFailed = 719;

struct Config {  // CUlaunchConfig
  unsigned grid[3], block[3], shared_bytes;
  void* stream;
  void* attributes;
  unsigned attribute_count;
};

int dummy_context, dummy_library;
thread_local void* current = nullptr;  // each thread has its own context, none at first
std::map<std::string, int> kernels;  // a kernel's handle is its entry's address

Result initialise(unsigned) { return kOk; }
Result driver_version(int* version) { return *version = 13020, kOk; }
Result device_count(int* count) { return *count = 1, kOk; }
Result device_get(int* device, int ordinal) { return *device = ordinal, kOk; }
Result device_attribute(int* value, int attribute, int) {
  // Compute capability 9.0; of everything else this device has none.
  return *value = attribute == 75 ? 9 : 0, kOk;
}
Result context_of_device(void** context, int) { return *context = &dummy_context, kOk; }
Result context_current(void** context) { return *context = current, kOk; }
Result context_set(void* context) { return current = context, kOk; }
Result context_release(int) { return kOk; }
Result context_device(int* device) { return *device = 0, kOk; }
Result library_load(void** library, const void* code, void*, void*, unsigned, void*, void*,
                    unsigned) {
  if (!current) return kNoContext;
  // Machine code is an ELF file.
  if (std::memcmp(code, "\177ELF", 4) != 0) return kInvalid;
  return *library = &dummy_library, kOk;
}
Result library_unload(void*) { return kOk; }
Result library_kernel(void** kernel, void*, const char* name) {
  return *kernel = const_cast<char*>(kernels.emplace(name, 0).first->first.c_str()), kOk;
}
Result kernel_function(void** function, void* kernel) { return *function = kernel, kOk; }
Result stream_context(void*, void** context) { return *context = &dummy_context, kOk; }
Result error_text(int, const char** text) { return *text = "stand-in driver", kOk; }

Result launch(const Config* config, void* kernel, void** arguments, void**) {
  if (!current) return kNoContext;
  const char* name = static_cast<const char*>(kernel);
  if (FILE* log = std::fopen(std::getenv("HDRBENCH_LAUNCHES"), "a")) {
    std::fprintf(log, "%s %u %u %u %u %u %u %u %ld\n", name, config->grid[0], config->grid[1],
                 config->grid[2], config->block[0], config->block[1], config->block[2],
                 config->shared_bytes, long(reinterpret_cast<intptr_t>(config->stream)));
    std::fclose(log);
  }
  static void* library = dlopen(std::getenv("HDRBENCH_HOST_KERNELS"), RTLD_NOW | RTLD_LOCAL);
  if (!library) return std::fprintf(stderr, "%s\n", dlerror()), kFailed;
  using Run = const char* (*)(const char*, const int*, int, int, void**, unsigned);
  static const auto run = reinterpret_cast<Run>(dlsym(library, "host_run"));
  const int blocks[3] = {int(config->grid[0]), int(config->grid[1]), int(config->grid[2])};
  const char* error =
      run(name, blocks, int(config->block[0]), int(config->shared_bytes), arguments, 1);
  if (error) std::fprintf(stderr, "%s: %s\n", name, error);
  return error ? kFailed : kOk;
}

template <typename F>
void* address(F* function) {
  return reinterpret_cast<void*>(function);
}

const std::map<std::string, void*> entries = {
    {"cuInit", address(initialise)},
    {"cuDriverGetVersion", address(driver_version)},
    {"cuDeviceGetCount", address(device_count)},
    {"cuDeviceGet", address(device_get)},
    {"cuDeviceGetAttribute", address(device_attribute)},
    {"cuDevicePrimaryCtxRetain", address(context_of_device)},
    {"cuDevicePrimaryCtxRelease", address(context_release)},
    {"cuCtxGetCurrent", address(context_current)},
    {"cuCtxSetCurrent", address(context_set)},
    {"cuCtxGetDevice", address(context_device)},
    {"cuLibraryLoadData", address(library_load)},
    {"cuLibraryUnload", address(library_unload)},
    {"cuLibraryGetKernel", address(library_kernel)},
    {"cuKernelGetFunction", address(kernel_function)},
    {"cuStreamGetCtx", address(stream_context)},
    {"cuGetErrorName", address(error_text)},
    {"cuGetErrorString", address(error_text)},
    {"cuLaunchKernelEx", address(launch)},
};

}  // namespace

extern "C" Result cuGetProcAddress_v2(const char* name, void** function, int, uint64_t,
                                      int* status) {
  const auto found = entries.find(name);
  *function = found == entries.end() ? nullptr : found->second;
  if (std::string(name) == "cuGetProcAddress") *function = address(cuGetProcAddress_v2);
  if (status) *status = *function ? 0 : 1;
  return *function ? kOk : kNotFound;
}
