// Colours of a whole picture to what a model is given and back, without enhancing it.
#include "picture.h"

namespace {

DISPATCH void convert_rows(const Picture& from, const Picture& to, int width, int begin, int end,
                           const ToModel* to_model, const FromModel* from_model) {
  std::vector<float> memory(3 * size_t(width));
  std::vector<uint16_t> scratch(3 * size_t(width));
  float* rows[3];
  for (int c = 0; c < 3; ++c) rows[c] = memory.data() + c * int64_t(width);
  for (int y = begin; y < end; ++y) {
    read_row(from, 0, y, width, to_model, scratch.data(), rows);
    write_row(to, 0, y, width, from_model, scratch.data(), rows);
  }
}

}  // namespace

// sizes: height, width; strides (B, C, H, W), of one picture. to_model and from_model as in
// hdrbench_enhance; `to` may be `from` where both have one type.
API void hdrbench_convert(const int32_t* sizes, void* from, const int64_t* from_strides,
                          int32_t from_kind, void* to, const int64_t* to_strides, int32_t to_kind,
                          const ToModel* to_model, const FromModel* from_model, int32_t threads) {
  const int height = sizes[0], width = sizes[1];
  const Picture source = picture_of(from, from_strides, from_kind);
  const Picture target = picture_of(to, to_strides, to_kind);
  parallel(kBands, threads, [&](int band) {
    convert_rows(source, target, width, band_begin(height, band), band_begin(height, band + 1),
                 to_model, from_model);
  });
}
