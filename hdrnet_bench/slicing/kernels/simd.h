// What the CPU kernels stand on: eight lanes, threads over bands of rows, and the build for every
// x86-64 in one library. Only for .cpp files of this folder; nothing here is exported.
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <thread>
#include <type_traits>
#include <vector>

#define API extern "C" __attribute__((visibility("default")))
// Always inlined, so that a helper is compiled for the instruction set of each DISPATCH function
// that it ends up in; called, it would be the plain one's.
#define INLINE static inline __attribute__((always_inline))
// One build for every x86-64: the loader picks AVX2 with FMA where the processor has them.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && !defined(HDRBENCH_GENERIC)
#define DISPATCH __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define DISPATCH
#endif

namespace {

constexpr int kLanes = 8;  // pixels, or depth cells, in a register
constexpr int kBands = 32;  // of rows, for sums that must not depend on the threads

typedef float v8 __attribute__((vector_size(32)));
typedef int32_t i8 __attribute__((vector_size(32)));

// Runs job(i) for i in [0, count) on that many threads; which thread takes which is left open.
template <typename Job>
void parallel(int count, int threads, const Job& job) {
  threads = std::max(1, std::min(threads, count));
  if (threads == 1) {
    for (int i = 0; i < count; ++i) job(i);
    return;
  }
  std::atomic<int> next{0};
  auto work = [&] {
    for (int i; (i = next.fetch_add(1)) < count;) job(i);
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(work);
  work();
  for (auto& other : others) other.join();
}

// Bands are what threads share out; their number is fixed, and so is what is summed in which order.
inline int band_begin(int height, int band) { return int(int64_t(height) * band / kBands); }

INLINE v8 splat(float value) { return v8{} + value; }

// table[index] in every lane, indices 0 to 7. With AVX2 one permutation across the register; other
// compilers get a loop that means the same.
INLINE v8 lookup(v8 table, i8 index) {
#if defined(__GNUC__) && !defined(__clang__) && !defined(HDRBENCH_GENERIC)
  return __builtin_shuffle(table, index);
#else
  v8 result;
  for (int lane = 0; lane < kLanes; ++lane) result[lane] = table[index[lane] & (kLanes - 1)];
  return result;
#endif
}

// By memcpy, which compiles to one unaligned load: rows begin anywhere, and no type is punned.
INLINE v8 load(const float* from) {
  v8 value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

INLINE void store(float* to, v8 value) { std::memcpy(to, &value, sizeof value); }

// Of a NaN in `a` the result is `b`: vmax(x, zero) makes it 0, as clamp_position in slice.h does.
INLINE v8 vmax(v8 a, v8 b) { return a > b ? a : b; }
INLINE v8 vmin(v8 a, v8 b) { return a < b ? a : b; }

// Reads `count` of eight values; the rest are 0. Registers never reach beyond a row.
INLINE v8 load_some(const float* from, int count) {
  if (count >= kLanes) return load(from);
  v8 value = {};
  std::memcpy(&value, from, count * sizeof(float));
  return value;
}

INLINE void store_some(float* to, v8 value, int count) {
  if (count >= kLanes) return store(to, value);
  std::memcpy(to, &value, count * sizeof(float));
}

}  // namespace
