// Runs the CUDA kernels, as they are, on the CPU: see cuda_host.h.
#define HDRBENCH_SLICE
#define HDRBENCH_GRADIENT
#define HDRBENCH_GUIDE
#define HDRBENCH_ENHANCE
#include "enhance_cuda.cu"

#include <algorithm>
#include <functional>
#include <random>
#include <utility>

namespace {

using hdrbench_host::state;
using Call = std::function<void(void**)>;

template <typename... Arguments, size_t... I>
Call caller(void (*kernel)(Arguments...), std::index_sequence<I...>) {
  return [kernel](void** from) { kernel(*static_cast<Arguments*>(from[I])...); };
}
template <typename... Arguments>
Call caller(void (*kernel)(Arguments...)) {
  return caller(kernel, std::index_sequence_for<Arguments...>{});
}

template <typename... Arguments>
std::vector<int> sizes(void (*)(Arguments...)) {
  return {int(sizeof(Arguments))...};
}

struct Entry {
  Call call;
  std::vector<int> argument_bytes;
};

#define ENTRY(name) {#name, {caller(&name), sizes(&name)}}
#define ENTRIES(name) \
  ENTRY(name##_f32), ENTRY(name##_f16), ENTRY(name##_bf16)
#define ENHANCE_ENTRIES(name) \
  ENTRY(name##_f32), ENTRY(name##_f16), ENTRY(name##_u8)

const std::map<std::string, Entry> kernels = {
    ENTRIES(slice_apply), ENTRIES(slice_apply_any), ENTRIES(slice_gradient),
    ENTRIES(slice_gradient_any), ENTRIES(slice_grid_gradient_any), ENTRY(slice_grid_sum),
    ENTRY(curves_table), ENTRY(curves_forward), ENTRY(curves_backward), ENTRY(curves_sums),
    ENHANCE_ENTRIES(enhance_curves), ENHANCE_ENTRIES(enhance_pointwise),
    ENHANCE_ENTRIES(area_lowres)};

const Entry* running;
void** arguments;

void fiber() {
  running->call(arguments);
  state.done[state.thread] = 1;
}

void run_block(std::mt19937& random) {
  std::fill(state.done.begin(), state.done.end(), 0);
  std::fill(state.shared.begin(), state.shared.end(), hdrbench_host::Word{});
  std::vector<int> order(state.threads);
  for (int t = 0; t < state.threads; ++t) {
    order[t] = t;
    ucontext_t& context = state.fibers[t];
    getcontext(&context);
    context.uc_stack.ss_sp = state.stacks[t].data();
    context.uc_stack.ss_size = state.stacks[t].size();
    context.uc_link = &state.scheduler;
    makecontext(&context, fiber, 0);
  }
  std::fill(state.products.begin(), state.products.end(), 0);
  for (state.phase = 0;; state.phase += state.at_barrier) {
    state.at_barrier = false;
    std::shuffle(order.begin(), order.end(), random);
    for (int t : order) {
      if (state.done[t]) continue;
      state.thread = t;
      swapcontext(&state.scheduler, &state.fibers[t]);
    }
    const long done = std::count(state.done.begin(), state.done.end(), 1);
    if (done == state.threads) return;
    if (done > 0) {
      hdrbench_host::fail("threads ended while others wait at a barrier", done);
      return;
    }
  }
}

std::string names;

}  // namespace

extern "C" {

// Arrays that the next launch may touch; without any, global memory is not watched.
void host_announce(const void* array, size_t bytes) {
  state.arrays[reinterpret_cast<uintptr_t>(array)] = {bytes, {}};
  state.watch_global = true;
}

void host_forget() {
  state.arrays.clear();
  state.watch_global = false;
}

// Leaves out the barrier at a place in the source from now on; line 0 leaves none out.
void host_skip_barrier(const char* file, int line) {
  state.skipped_file = file;
  state.skipped_line = line;
}

// Names of all kernels, each followed by the bytes of its arguments, a line each.
const char* host_kernels() {
  names.clear();
  for (const auto& [name, entry] : kernels) {
    names += name;
    for (int bytes : entry.argument_bytes) names += " " + std::to_string(bytes);
    names += "\n";
  }
  return names.c_str();
}

// Runs a kernel; null, or what went wrong.
const char* host_run(const char* name, const int* blocks, int threads, int shared_bytes,
                     void** from, unsigned seed) {
  state.error.clear();
  const auto found = kernels.find(name);
  if (found == kernels.end()) return "no such kernel";
  if (threads != hdrbench::kThreads) return "the kernels are written for other blocks";
  running = &found->second;
  arguments = from;
  state.threads = threads;
  state.shared.resize(shared_bytes / 4);
  state.fibers.resize(threads);
  state.stacks.resize(threads, std::vector<char>(1 << 16));
  state.done.resize(threads);
  state.products.resize(threads);
  for (auto& operands : state.operands) operands.resize(6 * threads);
  std::copy(blocks, blocks + 3, state.blocks);
  for (auto& [base, array] : state.arrays) array.owners.assign(array.bytes, {});
  std::vector<int> order(size_t(blocks[0]) * blocks[1] * blocks[2]);
  for (size_t i = 0; i < order.size(); ++i) order[i] = int(i);
  std::mt19937 random(seed);
  std::shuffle(order.begin(), order.end(), random);
  for (int i : order) {
    state.block[0] = i % blocks[0];
    state.block[1] = i / blocks[0] % blocks[1];
    state.block[2] = i / blocks[0] / blocks[1];
    run_block(random);
    if (!state.error.empty()) return state.error.c_str();
  }
  return nullptr;
}
}
