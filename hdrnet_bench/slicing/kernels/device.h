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
// 65,536 in all, 168 with three blocks of 128 threads, 128 with four, 96 with five.
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
// To nearest, ties to even.
__device__ inline int round_to_int(float value) { return __float2int_rn(value); }
__device__ inline float bits_to_float(unsigned bits) { return __uint_as_float(bits); }
__device__ inline unsigned float_to_bits(float value) { return __float_as_uint(value); }

}  // namespace hdrbench
#endif
