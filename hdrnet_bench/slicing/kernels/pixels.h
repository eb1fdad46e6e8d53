// Four neighbouring pixels at a time, of any element type and strides: what a thread reads and
// writes. Where memory allows it, four elements are one access (128 bits of float): a quarter of
// the instructions that single elements take.
#pragma once

#include "device.h"

namespace hdrbench {

// A number added to 1.5 * 2^23 is rounded to the nearest whole one, which stands in the low bits of
// the sum: additions, where a conversion to int and back waits for a slower unit.
const float kRound = 12582912.0f;
const unsigned kWhole = 0x4b400000u;  // its bits

struct Half { unsigned short bits; };
struct Bfloat { unsigned short bits; };
typedef unsigned char Byte;
typedef float Float;

inline float to_float(float value) { return value; }
inline float to_float(Half value) { return half_to_float(value.bits); }
// The upper half of a float's bits is the same number.
inline float to_float(Bfloat value) { return bits_to_float(unsigned(value.bits) << 16); }
inline float to_float(Byte value) { return float(value) * (1.0f / 255.0f); }

// kColour makes a colour of a value as it is stored. Kernels multiply their weights by it, so that no
// pixel needs to be.
template <typename T> struct Unit { static constexpr float kColour = 1.0f; };
template <> struct Unit<Byte> { static constexpr float kColour = 1.0f / 255.0f; };
// Byte k of a word as a number: it stands in the low bits of 2^23 and it.
inline float byte_of(unsigned word, int k) { return byte_and_2_23(word, k) - 8388608.0f; }
template <typename T>
inline float stored(T value) { return to_float(value); }
inline float stored(Byte value) { return byte_of(value, 0); }

inline void from_float(float value, float& to) { to = value; }
inline void from_float(float value, Half& to) { to.bits = float_to_half(value); }
inline void from_float(float value, Bfloat& to) {
  const unsigned bits = float_to_bits(value);
  // To nearest, ties to even: a half less one unit is added, and that unit too where the last bit
  // that stays is odd. A NaN stays one; the addition could carry it over to a number.
  const unsigned rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  to.bits = (unsigned short)(value == value ? rounded : 0x7fffu);
}
// Clamped first: what is out of range would wrap around. A NaN is 0.
inline void from_float(float value, Byte& to) {
  to = Byte(float_to_bits(saturate(value) * 255.0f + kRound) & 255u);
}

// Four elements as the one word that is read or written.
template <typename T> struct Word;
template <> struct Word<float> { typedef float4 type; };
template <> struct Word<Half> { typedef uint2 type; };
template <> struct Word<Bfloat> { typedef uint2 type; };
template <> struct Word<Byte> { typedef unsigned type; };

// By memcpy, which leaves no call behind.
template <typename T>
inline void unpack(typename Word<T>::type word, float* values) {
  T elements[4];
  static_assert(sizeof(elements) == sizeof(word), "a word is four elements");
  memcpy(elements, &word, sizeof(word));
  UNROLL for (int k = 0; k < 4; ++k) values[k] = to_float(elements[k]);
}

template <typename T>
inline typename Word<T>::type pack(const float* values) {
  T elements[4];
  UNROLL for (int k = 0; k < 4; ++k) from_float(values[k], elements[k]);
  typename Word<T>::type word;
  memcpy(&word, elements, sizeof(word));
  return word;
}

// The compiler does not always see that a float's memory is its value.
template <>
inline void unpack<float>(float4 word, float* values) {
  values[0] = word.x, values[1] = word.y, values[2] = word.z, values[3] = word.w;
}
template <>
inline float4 pack<float>(const float* values) {
  return make_float4(values[0], values[1], values[2], values[3]);
}

// An element by its distance in bytes from one that all threads share. As an unsigned number it is
// added by the access itself; a signed one takes four instructions an access.
template <typename T>
inline T* bytes_on(T* from, unsigned bytes) {
  return reinterpret_cast<T*>(reinterpret_cast<char*>(from) + bytes);
}
template <typename T>
inline const T* bytes_on(const T* from, unsigned bytes) {
  return reinterpret_cast<const T*>(reinterpret_cast<const char*>(from) + bytes);
}

template <typename T>
inline void load4(const T* from, float* values) {
  unpack<T>(global_load(reinterpret_cast<const typename Word<T>::type*>(from)), values);
}

template <typename T>
inline void store4(T* to, const float* values) {
  global_store(reinterpret_cast<typename Word<T>::type*>(to), pack<T>(values));
}

template <typename T>
inline float load1(const T* from) { return to_float(global_load(from)); }

template <typename T>
inline void store1(T* to, float value) {
  T element;
  from_float(value, element);
  global_store(to, element);
}

// How pixels lie in memory. Planar and interleaved ones are read four at a time, and their rows,
// planes and pictures begin at multiples of four elements (../cuda.py sees to it).
enum Layout { kAnyLayout = 0, kPlanar = 1, kInterleaved = 2 };

struct Strides { long long b, c, y, x; };  // in elements

// `count` pixels of a row from x on, one channel of them or three; what is beyond is 0. Planar rows
// are whole numbers of fours, so there `count` is always 4 and is not asked.
template <typename T>
inline void read_row4(const T* row, long long stride, int layout, int x, int count, float* to) {
  if (layout == kPlanar) {
    load4(bytes_on(row, unsigned(x) * unsigned(sizeof(T))), to);
  } else {
    UNROLL for (int k = 0; k < 4; ++k) to[k] = k < count ? load1(row + (x + k) * stride) : 0.0f;
  }
}

template <typename T>
inline void read_pixels(const T* row, const Strides& s, int layout, int x, int count,
                        float (*to)[4]) {
  UNROLL for (int c = 0; c < 3; ++c) read_row4(row + c * s.c, s.x, layout, x, count, to[c]);
}

// The elements of a word as they are stored.
template <typename T>
inline void unpack_stored(typename Word<T>::type word, float* values) { unpack<T>(word, values); }
template <>
inline void unpack_stored<Byte>(unsigned word, float* values) {
  UNROLL for (int k = 0; k < 4; ++k) values[k] = byte_of(word, k);
}

// Four pixels of a planar or interleaved row as the three words that they are, and their channels
// from these, as they are stored: words wait in fewer registers than colours.
template <typename T, int kLayout>
inline void read_words(const T* row, const Strides& s, int x, typename Word<T>::type* words) {
  typedef const typename Word<T>::type* Words;
  const unsigned bytes = (kLayout == kInterleaved ? 3u : 1u) * unsigned(x) * unsigned(sizeof(T));
  UNROLL for (int i = 0; i < 3; ++i) {
    if constexpr (kLayout == kInterleaved) {
      words[i] = global_load(reinterpret_cast<Words>(bytes_on(row, bytes)) + i);
    } else {
      words[i] = global_load(reinterpret_cast<Words>(bytes_on(row + i * s.c, bytes)));
    }
  }
}

template <typename T, int kLayout>
inline void unpack_words(const typename Word<T>::type* words, float (*to)[4]) {
  float values[12];
  UNROLL for (int i = 0; i < 3; ++i) unpack_stored<T>(words[i], values + 4 * i);
  UNROLL for (int c = 0; c < 3; ++c) {
    UNROLL for (int k = 0; k < 4; ++k) {
      to[c][k] = values[kLayout == kInterleaved ? 3 * k + c : 4 * c + k];
    }
  }
}

template <typename T>
inline void write_row4(T* row, long long stride, int layout, int x, int count, const float* from) {
  if (layout == kPlanar) {
    store4(bytes_on(row, unsigned(x) * unsigned(sizeof(T))), from);
  } else {
    UNROLL for (int k = 0; k < 4; ++k) {
      if (k < count) store1(row + (x + k) * stride, from[k]);
    }
  }
}

template <typename T>
inline void write_pixels(T* row, const Strides& s, int layout, int x, int count,
                         const float (*from)[4]) {
  if (layout == kInterleaved) {
    float values[12];
    UNROLL for (int c = 0; c < 3; ++c) {
      UNROLL for (int k = 0; k < 4; ++k) values[3 * k + c] = from[c][k];
    }
    T* to = bytes_on(row, 3u * unsigned(x) * unsigned(sizeof(T)));
    UNROLL for (int i = 0; i < 3; ++i) store4(to + 4 * i, values + 4 * i);
    return;
  }
  UNROLL for (int c = 0; c < 3; ++c) write_row4(row + c * s.c, s.x, layout, x, count, from[c]);
}

}  // namespace hdrbench
