// A picture as it lies in memory, read and written a row of floats at a time: its own type and
// strides, and the colours of its profile.
#pragma once

#include "colours.h"

namespace {

enum Kind : int32_t { kFloat, kUint8, kUint16 };

struct Picture {
  void* data;
  int64_t stride_b, stride_c, stride_y, stride_x;  // in elements
  Kind kind;
};

// Multiplied with the inverse, which is within one unit in the last place of dividing and costs a
// fraction of it.
template <typename T>
INLINE void read_integers(const T* from, int64_t stride, int width, float scale, float* row) {
  if (stride == 1) {  // a loop of its own, which the compiler vectorises
    for (int x = 0; x < width; ++x) row[x] = float(from[x]) * scale;
  } else {
    for (int x = 0; x < width; ++x) row[x] = float(from[x * stride]) * scale;
  }
}

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define HAS_SHUFFLES
#endif
#endif

// Between 16 pixels whose bytes lie r g b r g b … and a vector of each channel. A shuffle takes two
// vectors, and a result needs bytes of three: the first shuffle leaves any byte (index 0) where the
// third vector's belongs, the second puts it there.
#ifdef HAS_SHUFFLES
typedef uint8_t b16 __attribute__((vector_size(16)));

// The indices of 16 lanes by a formula of each lane's number.
#define LANES16(f)                                                                             \
  f(0), f(1), f(2), f(3), f(4), f(5), f(6), f(7), f(8), f(9), f(10), f(11), f(12), f(13), f(14), \
      f(15)

// Channel c of pixel k is byte 3 k + c of three vectors: the first two, then the third.
template <int c>
INLINE b16 channel_of(b16 first, b16 second, b16 third) {
#define IN_TWO(k) (3 * k + c < 32 ? 3 * k + c : 0)
#define IN_THIRD(k) (3 * k + c < 32 ? k : 3 * k + c - 16)
  const b16 two = __builtin_shufflevector(first, second, LANES16(IN_TWO));
  return __builtin_shufflevector(two, third, LANES16(IN_THIRD));
#undef IN_TWO
#undef IN_THIRD
}

// Byte k of the part-th vector is channel (16 part + k) mod 3 of pixel (16 part + k) / 3.
template <int part>
INLINE b16 side_by_side(b16 r, b16 g, b16 b) {
#define PIXEL(k) ((16 * part + k) / 3)
#define CHANNEL(k) ((16 * part + k) % 3)
#define OF_RG(k) (CHANNEL(k) < 2 ? PIXEL(k) + 16 * CHANNEL(k) : 0)
#define OF_B(k) (CHANNEL(k) < 2 ? k : 16 + PIXEL(k))
  const b16 rg = __builtin_shufflevector(r, g, LANES16(OF_RG));
  return __builtin_shufflevector(rg, b, LANES16(OF_B));
#undef PIXEL
#undef CHANNEL
#undef OF_RG
#undef OF_B
}

// Returns how many pixels were moved, a multiple of 16; the rest is the caller's. Without shuffles,
// and for 16 bits, that is all of them.
INLINE int take_apart(const uint8_t* from, int width, uint8_t* r, uint8_t* g, uint8_t* b) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    b16 in[3];
    std::memcpy(in, from + 3 * x, sizeof in);
    const b16 out[3] = {channel_of<0>(in[0], in[1], in[2]), channel_of<1>(in[0], in[1], in[2]),
                        channel_of<2>(in[0], in[1], in[2])};
    std::memcpy(r + x, &out[0], 16);
    std::memcpy(g + x, &out[1], 16);
    std::memcpy(b + x, &out[2], 16);
  }
  return x;
}

INLINE int put_together(uint8_t* to, int width, const uint8_t* r, const uint8_t* g,
                        const uint8_t* b) {
  int x = 0;
  for (; x + 16 <= width; x += 16) {
    b16 in[3];
    std::memcpy(&in[0], r + x, 16);
    std::memcpy(&in[1], g + x, 16);
    std::memcpy(&in[2], b + x, 16);
    const b16 out[3] = {side_by_side<0>(in[0], in[1], in[2]),
                        side_by_side<1>(in[0], in[1], in[2]),
                        side_by_side<2>(in[0], in[1], in[2])};
    std::memcpy(to + 3 * x, out, sizeof out);
  }
  return x;
}
#else
INLINE int take_apart(const uint8_t*, int, uint8_t*, uint8_t*, uint8_t*) { return 0; }
INLINE int put_together(uint8_t*, int, const uint8_t*, const uint8_t*, const uint8_t*) { return 0; }
#endif
INLINE int take_apart(const uint16_t*, int, uint16_t*, uint16_t*, uint16_t*) { return 0; }
INLINE int put_together(uint16_t*, int, const uint16_t*, const uint16_t*, const uint16_t*) {
  return 0;
}

// Pixels whose channels lie side by side. Moved as integers and converted by the row: in one loop
// the compiler finds no good vectors for both.
template <typename T>
INLINE void read_interleaved(const T* from, int width, float scale, T* planes,
                             float* const* rows) {
  T *r = planes, *g = planes + width, *b = planes + 2 * width;
  for (int x = take_apart(from, width, r, g, b); x < width; ++x) {
    r[x] = from[3 * x];
    g[x] = from[3 * x + 1];
    b[x] = from[3 * x + 2];
  }
  for (int c = 0; c < 3; ++c) read_integers(planes + c * width, 1, width, scale, rows[c]);
}

INLINE bool is_interleaved(const Picture& p) { return p.stride_x == 3 && p.stride_c == 1; }

// Of the usual strides as constants: the compiler has no registers left for others.
template <typename T>
INLINE void convert_row(const Picture& p, const ToModel& colours, const T* from, int width,
                        float* const* rows, float* sums) {
  if (is_interleaved(p)) return row_to_model(colours, from, 3, 1, width, rows, sums);
  row_to_model(colours, from, p.stride_x, p.stride_c, width, rows, sums);
}

template <typename T>
INLINE void convert_back(const Picture& p, const FromModel& colours, T* to, int width,
                         float* const* rows) {
  if (is_interleaved(p)) return row_from_model(colours, to, 3, 1, width, rows);
  row_from_model(colours, to, p.stride_x, p.stride_c, width, rows);
}

// The three channels of a row, in [0, 1] where they are integers; converted where `colours` are
// given, for integers alone, and then added to `sums` too where they are. `scratch` holds three rows
// of words.
INLINE void read_row(const Picture& p, int b, int y, int width, const ToModel* colours,
                     uint16_t* scratch, float* const* rows, float* sums = nullptr) {
  const int64_t at = b * p.stride_b + y * p.stride_y;
  const uint8_t* bytes = static_cast<const uint8_t*>(p.data) + at;
  const uint16_t* words = static_cast<const uint16_t*>(p.data) + at;
  const float* floats = static_cast<const float*>(p.data) + at;
  if (colours && p.kind == kUint8) {
    convert_row(p, *colours, bytes, width, rows, sums);
    return;
  }
  if (colours && p.kind == kUint16) {
    convert_row(p, *colours, words, width, rows, sums);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint8) {
    read_interleaved(bytes, width, 1.0f / 255.0f, reinterpret_cast<uint8_t*>(scratch), rows);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint16) {
    read_interleaved(words, width, 1.0f / 65535.0f, scratch, rows);
    return;
  }
  for (int c = 0; c < 3; ++c) {
    const int64_t plane = c * p.stride_c;
    if (p.kind == kUint8) {
      read_integers(bytes + plane, p.stride_x, width, 1.0f / 255.0f, rows[c]);
    } else if (p.kind == kUint16) {
      read_integers(words + plane, p.stride_x, width, 1.0f / 65535.0f, rows[c]);
    } else {
      for (int x = 0; x < width; ++x) rows[c][x] = floats[plane + x * p.stride_x];
    }
  }
}

// Clamped and rounded: adding and taking away 2^23 rounds to nearest, ties to even, as torch does,
// with additions alone, which are vectorised on every processor. A NaN becomes 0.
INLINE int level(float value, float white) {
  value = value > 0.0f ? value : 0.0f;
  value = value < 1.0f ? value : 1.0f;
  return int((value * white + 8388608.0f) - 8388608.0f);
}

template <typename T>
INLINE void write_integers(T* to, int64_t stride, int width, float white, const float* row) {
  if (stride == 1) {
    for (int x = 0; x < width; ++x) to[x] = T(level(row[x], white));
  } else {
    for (int x = 0; x < width; ++x) to[x * stride] = T(level(row[x], white));
  }
}

template <typename T>
INLINE void write_interleaved(T* to, int width, float white, T* planes,
                              float* const* rows) {
  for (int c = 0; c < 3; ++c) write_integers(planes + c * width, 1, width, white, rows[c]);
  const T *r = planes, *g = planes + width, *b = planes + 2 * width;
  for (int x = put_together(to, width, r, g, b); x < width; ++x) {
    to[3 * x] = r[x];
    to[3 * x + 1] = g[x];
    to[3 * x + 2] = b[x];
  }
}

// The other way; with `colours` the rows are written over.
INLINE void write_row(const Picture& p, int b, int y, int width, const FromModel* colours,
                      uint16_t* scratch, float* const* rows) {
  const int64_t at = b * p.stride_b + y * p.stride_y;
  uint8_t* bytes = static_cast<uint8_t*>(p.data) + at;
  uint16_t* words = static_cast<uint16_t*>(p.data) + at;
  float* floats = static_cast<float*>(p.data) + at;
  if (colours && p.kind == kUint8) {
    convert_back(p, *colours, bytes, width, rows);
    return;
  }
  if (colours && p.kind == kUint16) {
    convert_back(p, *colours, words, width, rows);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint8) {
    write_interleaved(bytes, width, 255.0f, reinterpret_cast<uint8_t*>(scratch), rows);
    return;
  }
  if (is_interleaved(p) && p.kind == kUint16) {
    write_interleaved(words, width, 65535.0f, scratch, rows);
    return;
  }
  for (int c = 0; c < 3; ++c) {
    const int64_t plane = c * p.stride_c;
    if (p.kind == kUint8) {
      write_integers(bytes + plane, p.stride_x, width, 255.0f, rows[c]);
    } else if (p.kind == kUint16) {
      write_integers(words + plane, p.stride_x, width, 65535.0f, rows[c]);
    } else {
      for (int x = 0; x < width; ++x) floats[plane + x * p.stride_x] = rows[c][x];
    }
  }
}

inline Picture picture_of(void* data, const int64_t* strides, int kind) {
  return {data, strides[0], strides[1], strides[2], strides[3], Kind(kind)};
}

}  // namespace
