// A stand-in for kernels/device.h: a block's threads run on the CPU, one after another, each up to
// its next barrier, in an order that is shuffled anew for every phase between barriers.
//
// What it refuses, with the kernel's place in the report: shared memory that two threads touch in
// one phase, one of them writing; shared words never written, or outside what was asked for at
// launch; global memory outside the arrays that were announced, or read or written by two threads,
// one of them writing; words of several elements at addresses that the hardware would refuse;
// threads that end while others wait at a barrier.
#pragma once

#include <ucontext.h>

#include <math.h>  // fmaxf and its kind, outside any namespace, as on the device

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#define KERNEL(threads, blocks) extern "C" void
#define UNROLL
#define NO_UNROLL
#define UNROLL_4

struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace hdrbench_host {

struct Owner {  // of a byte of global memory during one launch
  uint32_t writer = 0, reader = 0;
  bool readers = false;
};

struct Array {
  size_t bytes;
  std::vector<Owner> owners;
};

struct Word {  // of shared memory
  float value = 0;
  int writer = -1, reader = -1;
  long written = -1, read = -1;  // phases
  bool readers = false;
};

struct State {
  int thread = 0, threads = 0, block[3] = {}, blocks[3] = {};
  long phase = 0;
  bool at_barrier = false;  // whether threads wait there, and not for the others' operands
  std::vector<float> operands[2];  // six of each thread, for this product and for the next one
  std::vector<int> products;  // of each thread, until now
  std::vector<Word> shared;
  std::map<uintptr_t, Array> arrays;
  bool watch_global = false;
  std::string skipped_file;
  int skipped_line = 0;
  std::string error;
  ucontext_t scheduler;
  std::vector<ucontext_t> fibers;
  std::vector<std::vector<char>> stacks;
  std::vector<char> done;
};

inline State state;

inline void fail(const char* what, long where) {
  if (!state.error.empty()) return;
  char text[200];
  std::snprintf(text, sizeof text, "%s (at %ld; thread %d, block %d %d %d, phase %ld)", what, where,
                state.thread, state.block[0], state.block[1], state.block[2], state.phase);
  state.error = text;
}

inline uint32_t global_thread() {
  const int* b = state.block;
  const int* n = state.blocks;
  return uint32_t((b[2] * n[1] + b[1]) * n[0] + b[0]) * state.threads + state.thread + 1;
}

inline bool watch(const void* address, size_t bytes, bool writing) {
  const uintptr_t at = reinterpret_cast<uintptr_t>(address);
  if (at % bytes) {
    fail("misaligned access to global memory", long(at % bytes));
    return false;
  }
  if (!state.watch_global) return true;
  auto after = state.arrays.upper_bound(at);
  if (after == state.arrays.begin()) {
    fail("global memory outside every array", 0);
    return false;
  }
  auto& [base, array] = *std::prev(after);
  if (at + bytes > base + array.bytes) {
    fail("global memory outside every array", long(at - base));
    return false;
  }
  const uint32_t me = global_thread();
  for (size_t i = at - base; i < at - base + bytes; ++i) {
    Owner& owner = array.owners[i];
    if (owner.writer && owner.writer != me) fail("global memory written by another thread", i);
    if (writing) {
      if (owner.readers || (owner.reader && owner.reader != me)) {
        fail("global memory read by another thread is written", i);
      }
      owner.writer = me;
    } else {
      owner.readers |= owner.reader && owner.reader != me;
      owner.reader = me;
    }
  }
  return true;
}

inline bool shared_there(long word) {
  if (word >= 0 && word < long(state.shared.size())) return true;
  fail("shared memory out of bounds", word);
  return false;
}

inline float shared_read(long word) {
  if (!shared_there(word)) return 0;
  Word& w = state.shared[word];
  if (w.writer < 0) fail("shared memory read before it is written", word);
  if (w.written == state.phase && w.writer != state.thread) fail("shared read races a write", word);
  w.readers = w.read == state.phase && (w.readers || w.reader != state.thread);
  w.reader = state.thread;
  w.read = state.phase;
  return w.value;
}

inline void shared_write(long word, float value) {
  if (!shared_there(word)) return;
  Word& w = state.shared[word];
  if (w.written == state.phase && w.writer != state.thread) fail("two shared writes race", word);
  if (w.read == state.phase && (w.readers || w.reader != state.thread)) {
    fail("shared write races a read", word);
  }
  w.value = value;
  w.writer = state.thread;
  w.written = state.phase;
}

}  // namespace hdrbench_host

namespace hdrbench {

inline int thread() { return hdrbench_host::state.thread; }
inline int block_x() { return hdrbench_host::state.block[0]; }
inline int block_y() { return hdrbench_host::state.block[1]; }
inline int block_z() { return hdrbench_host::state.block[2]; }
inline int blocks_x() { return hdrbench_host::state.blocks[0]; }
inline int blocks_y() { return hdrbench_host::state.blocks[1]; }

// The default arguments are the place of the call, by which the tests leave a barrier out.
inline void barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  auto& s = hdrbench_host::state;
  const char* name = std::strrchr(file, '/');
  if (line == s.skipped_line && s.skipped_file == (name ? name + 1 : file)) return;
  s.at_barrier = true;
  swapcontext(&s.fibers[s.thread], &s.scheduler);
}

// A warp's barrier is the block's here: all warps take as many.
inline void warp_barrier(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  barrier(file, line);
}

inline float saturate(float value) { return fminf(fmaxf(value, 0.0f), 1.0f); }

inline float add_down(float a, float b) {
  const double exact = double(a) + double(b);  // floats of the sizes that are added here
  const float nearest = float(exact);
  return nearest > exact ? std::nextafter(nearest, -INFINITY) : nearest;
}

// Waits for the other threads' operands, which is no barrier: what they do to memory meanwhile is
// not ordered by it.
inline void multiply_add(float* c, const float* a, const float* b) {
  auto& s = hdrbench_host::state;
  auto& operands = s.operands[s.products[s.thread]++ & 1];
  std::copy(a, a + 4, &operands[6 * s.thread]);
  std::copy(b, b + 2, &operands[6 * s.thread + 4]);
  swapcontext(&s.fibers[s.thread], &s.scheduler);
  const int warp = s.thread & ~31, q = s.thread & 3, r = (s.thread & 31) >> 2;
  const auto of = [&](int lane, int which) { return operands[6 * (warp + lane) + which]; };
  for (int k = 0; k < 8; ++k) {
    for (int i = 0; i < 4; ++i) {
      const float row = of(4 * r + (k & 3), (k & 4 ? 2 : 0) + (i >> 1));
      c[i] += row * of(4 * (2 * q + (i & 1)) + (k & 3), 4 + (k >> 2));
    }
  }
}

template <typename V>
V global_load(const V* from) {
  return hdrbench_host::watch(from, sizeof(V), false) ? *from : V{};
}
template <typename V>
void global_store(V* to, V value) {
  if (hdrbench_host::watch(to, sizeof(V), true)) *to = value;
}

inline float shared_load(int word) { return hdrbench_host::shared_read(word); }
inline void shared_store(int word, float value) { hdrbench_host::shared_write(word, value); }
inline float4 shared_load4(int four) {
  const long w = 4L * four;
  using hdrbench_host::shared_read;
  return {shared_read(w), shared_read(w + 1), shared_read(w + 2), shared_read(w + 3)};
}
inline unsigned shared_place(int four) { return 16u * unsigned(four); }
inline float4 shared_load4_at(unsigned place) {
  if (place % 16) hdrbench_host::fail("misaligned shared memory", place);
  return shared_load4(int(place / 16));
}
inline void shared_store4(int four, float4 value) {
  const float values[4] = {value.x, value.y, value.z, value.w};
  for (int i = 0; i < 4; ++i) hdrbench_host::shared_write(4L * four + i, values[i]);
}

inline float bits_to_float(unsigned bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned float_to_bits(float value) {
  unsigned bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float byte_and_2_23(unsigned word, int k) { return float(0x800000u + (word >> 8 * k & 255u)); }

inline float half_to_float(unsigned short bits) {
  const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
  float value = exponent == 0    ? std::ldexp(float(mantissa), -24)
                : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                 : std::ldexp(float(mantissa + 1024), exponent - 25);
  return bits & 0x8000 ? -value : value;
}

inline unsigned short float_to_half(float value) {
  const unsigned sign = float_to_bits(value) >> 16 & 0x8000;
  const float size = std::fabs(value);
  if (size != size) return 0x7fff;
  if (size >= 65520.0f) return (unsigned short)(sign | 0x7c00);
  const unsigned small = unsigned(std::nearbyint(std::ldexp(size, 24)));
  if (size < 0x1p-14f) return (unsigned short)(sign | small);
  int exponent;
  std::frexp(size, &exponent);  // size = m 2^exponent, m in [0.5, 1)
  const unsigned mantissa = unsigned(std::nearbyint(std::ldexp(size, 11 - exponent)));
  return (unsigned short)(sign | ((unsigned(exponent + 13) << 10) + mantissa));
}

}  // namespace hdrbench
