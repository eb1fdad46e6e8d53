// What the CUDA kernels stand on, compiled by NVRTC: elements of a picture, shared memory,
// barriers.
//
// The kernels reach memory through these functions alone, so that the tests can give them others,
// which run a kernel's threads on the CPU and check every access (tests/slicing/cuda_host.h).
#pragma once

#ifdef HDRBENCH_HOST
#include HDRBENCH_HOST
#else

// `blocks` of them must fit on a multiprocessor at once, which bounds the registers of a thread: of
// 65,536 in all, 168 with three blocks of 128 threads, 128 with four, 96 with five, 80 with six.
#define KERNEL(threads, blocks) extern "C" __global__ void __launch_bounds__(threads, blocks)
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#define UNROLL_4 _Pragma("unroll 4")

namespace hdrbench {

__device__ inline int thread() { return threadIdx.x; }
__device__ inline int block_x() { return blockIdx.x; }
__device__ inline int block_y() { return blockIdx.y; }
__device__ inline int block_z() { return blockIdx.z; }
__device__ inline int blocks_x() { return gridDim.x; }
__device__ inline int blocks_y() { return gridDim.y; }
__device__ inline void barrier() { __syncthreads(); }
__device__ inline void warp_barrier() { __syncwarp(); }

template <typename V>
__device__ inline V global_load(const V* from) { return *from; }
template <typename V>
__device__ inline void global_store(V* to, V value) { *to = value; }
// The compiler takes some stores of four floats apart.
__device__ inline void global_store(float4* to, float4 value) {
  asm volatile("st.global.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)),
               "f"(value.x), "f"(value.y), "f"(value.z), "f"(value.w));
}

extern __shared__ float4 shared_words[];

__device__ inline float shared_load(int word) {
  return reinterpret_cast<const float*>(shared_words)[word];
}
__device__ inline void shared_store(int word, float value) {
  reinterpret_cast<float*>(shared_words)[word] = value;
}
// Four words at once, counted in fours: the compiler cannot know that a word's number is one.
__device__ inline float4 shared_load4(int four) { return shared_words[four]; }
__device__ inline void shared_store4(int four, float4 value) { shared_words[four] = value; }
// The same by addresses of 32 bits, where they are what a loop computes: bytes, the base with them.
__device__ inline unsigned shared_place(int four) {
  return unsigned(__cvta_generic_to_shared(shared_words + four));
}
__device__ inline float4 shared_load4_at(unsigned place) {
  float4 value;
  // Volatile, which keeps it after the barrier that it follows.
  asm volatile("ld.shared.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(value.x), "=f"(value.y), "=f"(value.z), "=f"(value.w)
               : "r"(place));
  return value;
}

__device__ inline float half_to_float(unsigned short bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}
__device__ inline unsigned short float_to_half(float value) {
  unsigned short bits;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
  return bits;
}
// Between 0 and 1; 0 for a NaN.
__device__ inline float saturate(float value) { return __saturatef(value); }

// Their sum, rounded down.
__device__ inline float add_down(float a, float b) { return __fadd_rd(a, b); }

// Byte k of a word, as a number and 2^23: it stands in the sum's low bits.
__device__ inline float byte_and_2_23(unsigned word, int k) {
  return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650 + k));
}

// A warp's product of two matrices, added to a third: c (16 x 8) += a (16 x 8) b (8 x 8), to about
// float32's precision. With q = lane % 4 and r = lane / 4, a lane has
//   a: (r, q), (r + 8, q), (r, q + 4), (r + 8, q + 4)
//   b: (q, r), (q + 4, r)
//   c: (r, 2 q), (r, 2 q + 1), (r + 8, 2 q), (r + 8, 2 q + 1)
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// Tensor cores read the first eleven binary digits of a float. What that leaves is multiplied by
// itself; only the product of two such rests is missing.
__device__ inline float rest(float value) {
  return value - __uint_as_float(__float_as_uint(value) & 0xffffe000u);
}
__device__ inline void multiply_once(float* c, const float* a, const float* b) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(__float_as_uint(a[0])), "r"(__float_as_uint(a[1])), "r"(__float_as_uint(a[2])),
        "r"(__float_as_uint(a[3])), "r"(__float_as_uint(b[0])), "r"(__float_as_uint(b[1])));
}
__device__ inline void multiply_add(float* c, const float* a, const float* b) {
  const float a_rest[4] = {rest(a[0]), rest(a[1]), rest(a[2]), rest(a[3])};
  const float b_rest[2] = {rest(b[0]), rest(b[1])};
  multiply_once(c, a_rest, b);
  multiply_once(c, a, b_rest);
  multiply_once(c, a, b);
}
#else
__device__ inline void multiply_add(float* c, const float* a, const float* b) {
  const int lane = threadIdx.x & 31, q = lane & 3, r = lane >> 2;
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    const float low = __shfl_sync(~0u, a[k & 4 ? 2 : 0], 4 * r + (k & 3));
    const float high = __shfl_sync(~0u, a[k & 4 ? 3 : 1], 4 * r + (k & 3));
    const float left = __shfl_sync(~0u, b[k >> 2], 8 * q + (k & 3));
    const float right = __shfl_sync(~0u, b[k >> 2], 8 * q + 4 + (k & 3));
    c[0] += low * left, c[1] += low * right, c[2] += high * left, c[3] += high * right;
  }
}
#endif
__device__ inline float bits_to_float(unsigned bits) { return __uint_as_float(bits); }
__device__ inline unsigned float_to_bits(float value) { return __float_as_uint(value); }

}  // namespace hdrbench
#endif
